# swale. `make help` lists the targets.
#
#   make                     build/libswale.a, build/libswale.so, build/examples/NAME
#   make CC=clang SANITIZE=address,undefined test
#
# Each other compiler and sanitizer builds into a separate folder below build/.

PACKAGES = libopenblas-dev libstb-dev zlib1g-dev libjansson-dev dataset-fashion-mnist gnuplot-nox \
           libcmocka-dev pkgconf groff-base fonts-dejavu-core fortunes

# As many jobs as processors. An explicit -j takes precedence.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

comma := ,
space := $(subst ,, )
# Major, minor and patch version, as core/base/api.h defines them.
version := $(shell sed -n 's/.*SW_VERSION_[A-Z]* \([0-9][0-9]*\)$$/\1/p' core/base/api.h)
VERSION := $(subst $(space),.,$(version))
# Before 1.0 a minor version may change the interface, so the loader must not take one for another.
SONAME := libswale.so.$(if $(filter 0,$(word 1,$(version))),0.$(word 2,$(version)),$(word 1,$(version)))
SANITIZE ?=
variant := $(if $(filter-out cc gcc,$(notdir $(CC))),$(notdir $(CC)))$(if $(SANITIZE),$(if $(filter-out cc gcc,$(notdir $(CC))),-)$(subst $(comma),-,$(SANITIZE)))
BUILD := build$(if $(variant),/$(variant))

OPTIMIZE ?= -O3
CFLAGS ?=
# Without -ffast-math and contraction, every compiler and level gives equal bits. Without -fno-math-errno, a square root
# is a function call.
NUMERICS := -fno-math-errno -fno-trapping-math -ffp-contract=off
WARNINGS := -Wall -Wextra -Wshadow -Wconversion
FLAGS := -std=c11 -g $(OPTIMIZE) $(NUMERICS) $(WARNINGS) -fPIC -fvisibility=hidden \
         -fno-semantic-interposition -MMD -MP \
         $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all) $(CFLAGS)
# The object files do not depend on the folder in which they are built.
FLAGS += -ffile-prefix-map=$(CURDIR)=.
LINK := $(if $(SANITIZE),-fsanitize=$(SANITIZE))
LIBRARIES := -lopenblas -ljansson -lz -lm -ldl -pthread

core_src := $(sort $(wildcard core/*/*.c))
nn_src := $(sort $(wildcard nn/*.c nn/*/*.c))
optim_src := $(sort $(wildcard optim/*.c optim/*/*.c))
datasets_src := $(sort $(wildcard datasets/*.c datasets/*/*.c))
library_src := $(core_src) $(nn_src) $(optim_src) $(datasets_src)
library_obj := $(library_src:%.c=$(BUILD)/%.o)
examples := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
# The programs that draw, in the order of their run time. The pictures of those with long training are drawn from results
# that are stored in examples/gallery; options_NAME are the options of the training.
pictures := minima algoperf_score exponential_lr glm spirals regression embedding rosenbrock least_squares logistic_regression muon_logreg
trained := class_imbalance grokking label_noise adam_gap double_descent drawn_surface initialization shampoo_muon memory lecture_mlp muon_gpt mode_connectivity loss_surface sharpness
stored := $(patsubst examples/gallery/%.csv,%,$(filter-out %/runs.csv,$(wildcard examples/gallery/*.csv)))
# Not under sanitizers, because the user's program would have to be linked with them too.
install_tests := $(if $(SANITIZE),,tests/install/test_symbols.sh tests/install/test_install.sh tests/install/test_guide.sh)
test_src := $(foreach part,core nn optim datasets examples,$(wildcard tests/$(part)/test_*.c tests/$(part)/*/test_*.c))
tests := $(test_src:%.c=$(BUILD)/%)
# Tests that take 3 seconds of processor time or more, as tests/run.sh prints it. `make test` begins with them, the
# longest first, so that at the end no processor waits for a long one.
slow_tests := $(addprefix examples/test_,every_program accuracy fashion_mnist_files) core/kernels/test_threads \
              $(addprefix optim/,test_networks rules/test_rules) core/kernels/test_conv_kernels core/kernels/test_winograd \
              $(addprefix examples/test_,rules_programs fashion_mnist_cli gallery) core/kernels/test_kernels \
              optim/estimators/test_glm_table core/test_process $(addprefix examples/test_,experiments glm fashion_mnist_16_bit sharpness stored_pictures) \
              $(addprefix core/ops/test_,half_elements ops_16_bit ops_reduce power stored_rows) \
              $(addprefix datasets/readers/test_,fashion_mnist svmlight svmlight_mistakes) \
              $(addprefix optim/test_,16_bit_methods dry_run long_sums) optim/rules/test_roots \
              $(addprefix optim/estimators/test_,estimators_convex glm_golden glm_lazy newton)
fast_tests = $(filter-out $(slow_tests:%=$(BUILD)/tests/%),$(tests))
bench_src := $(wildcard tests/bench/bench_*.c)
benches := $(bench_src:%.c=$(BUILD)/%)

# Each public header is in the room of its subject. Programs and all files of this project include it as <swale/NAME.h>,
# from build/include or from an installation. Private headers are included by their path: "core/tape/node.h". `make
# lint` checks that rooms use only lower rooms (.lint/rooms.txt).
public_headers := $(sort $(shell cat .lint/public_headers.txt))
headers_made := $(BUILD)/include/swale/.made
INCLUDE := -I$(BUILD)/include -I.
# For damaged pictures, integer sums in stb_image overflow; with -fwrapv this is defined.
$(BUILD)/datasets/pictures/picture_load.o $(BUILD)/datasets/pictures/resize.o: FLAGS += -fwrapv

# In `make deps train`, packages are installed before anything is compiled.
DEPS := $(filter deps deps-lint deps-flavors,$(MAKECMDGOALS))

# `make V=1` shows the commands.
Q := $(if $(V),,@)

# After a failed command: print which headers or libraries are missing, if any, and how to install them. $(1) is a
# header that only tests need, or empty.
advice = ": \`make deps\` installs what swale needs (Debian); elsewhere, what PACKAGES in the Makefile lists" >&2
missing_headers = || { \
    echo '\#include <stdio.h>' | $(CC) $(CFLAGS) -x c -E - >/dev/null 2>&1 || { \
        echo "  the C compiler $(CC) does not work (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }; \
    for header in cblas.h jansson.h zlib.h stb/stb_image.h $(1); do \
        printf '%sinclude <%s>\n' '\#' $$header | $(CC) $(CFLAGS) -E - >/dev/null 2>&1 || \
            echo "  $$header is missing"$(advice); \
    done; \
    exit 1; }
missing_libraries = || { \
    echo 'int main(void) { return 0; }' | $(CC) -x c - -o $(BUILD)/probe >/dev/null 2>&1 || { \
        echo "  $(CC) cannot link a program (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }; \
    for name in $(patsubst -l%,%,$(filter -l%,$(LIBRARIES))) $(1); do \
        echo 'int main(void) { return 0; }' | $(CC) -x c - -o $(BUILD)/probe $(LDFLAGS) -l$$name >/dev/null 2>&1 || \
            echo "  lib$$name is missing"$(advice); \
    done; \
    rm -f $(BUILD)/probe; \
    exit 1; }

.PHONY: all help deps deps-lint deps-flavors install install-headers uninstall symbols train gallery gallery-train test \
        check-fast check-flavors check-graphs check-peer-samples check-networks check-text check-variance-reduction \
        bench bench-peers fuzz \
        run-fuzz lint format check-format check-rooms headers doc check-reproducible clean
.DELETE_ON_ERROR:

all: $(BUILD)/libswale.a $(BUILD)/libswale.so $(examples)

help:
	@echo "make            the library and the examples, in $(BUILD)/"
	@echo "make deps       install the packages that swale needs (Debian)"
	@echo "make install    to PREFIX=/usr/local, BINDIR, LIBDIR, INCLUDEDIR, MANDIR; DESTDIR=; make uninstall"
	@echo "make train      train on Fashion-MNIST"
	@echo "make gallery    draw the pictures of examples/README.md in $(BUILD)/gallery/"
	@echo "make gallery-train  train the programs whose results are stored in examples/gallery: TRAIN='sharpness memory'"
	@echo "make test       all tests; check-fast: without the slow ones"
	@echo "make check-flavors  tests that depend on OpenBLAS, with each of its three builds; make deps-flavors installs them"
	@echo "make bench      speed: one line per figure, name value target ok|short"
	@echo "make bench-peers  speed compared with PyTorch, JAX, kann, scikit-learn, cyanure if installed: PEERS_PYTHON=, KANN_DIR="
	@echo "make check-graphs  random graphs and networks against PyTorch: PEERS_PYTHON=, COUNT=, HALF=, NETWORKS=, SEED="
	@echo "make check-peer-samples  PyTorch's test samples of operations, layers and rules: PEERS_PYTHON="
	@echo "make check-networks  resnet18 and resnet34 in full size, beside PyTorch and torchvision: PEERS_PYTHON="
	@echo "make check-text      trains GPT and LSTM on a text, beside PyTorch: TEXT=FILE, PEERS_PYTHON="
	@echo "make check-variance-reduction  SAG, SAGA, SVRG on generalized linear models: CELLS='sag/1/f64/logistic/*', JOBS="
	@echo "make fuzz       fuzz every file reader with libFuzzer (clang), FUZZ_SECONDS=60 each"
	@echo "make format     format the source with clang-format"
	@echo "make lint       format, clang-tidy, cppcheck, doc, headers as C11 and C++17; make deps-lint installs the tools"
	@echo "make doc        the documentation of the headers, by Doxygen, in build/doc/"
	@echo "make symbols    write tests/install/symbols.txt: the names that libswale.so exports"
	@echo "make check-reproducible   two builds in two folders are equal byte for byte"
	@echo "make clean      remove build/"
	@echo "variables       CC=clang  SANITIZE=address,undefined  OPTIMIZE=-O1  CFLAGS=  V=1"

deps-lint: PACKAGES += clang clang-format clang-tidy cppcheck g++ doxygen
deps-flavors: PACKAGES += libopenblas0-pthread libopenblas0-openmp libopenblas0-serial
deps deps-lint deps-flavors:
	@missing=; for p in $(PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	    command -v apt-get >/dev/null || { echo "make deps installs Debian packages; missing packages:$$missing" >&2; exit 1; }; \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    [ -z "$$sudo" ] || command -v sudo >/dev/null || { \
	        echo "make deps needs root, and there is no sudo here: as root, apt-get install$$missing" >&2; exit 1; }; \
	    echo "installing$$missing"; \
	    $$sudo apt-get update -qq && \
	    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

train: $(BUILD)/examples/fashion_mnist
	$(BUILD)/examples/fashion_mnist $(ARGS)

# The pictures of examples/README.md. To update them, run `cp build/gallery/*.png examples/gallery/`. They are drawn
# with the font DejaVu Sans, which `make deps` installs.
gallery: $(patsubst %,$(BUILD)/examples/%,$(pictures) $(trained))
	@mkdir -p $(BUILD)/gallery
	@for p in $(pictures) $(filter-out $(stored),$(trained)); do \
	    echo "  RUN $(BUILD)/examples/$$p"; \
	    $(BUILD)/examples/$$p --out $(BUILD)/gallery/$$p.png || exit 1; \
	done
	@for p in $(filter $(stored),$(trained)); do \
	    echo "  DRAW $(BUILD)/examples/$$p"; \
	    $(BUILD)/examples/$$p --from examples/gallery/$$p.csv --out $(BUILD)/gallery/$$p.png || exit 1; \
	done

# Repeats the training of the stored results, and writes them to $(BUILD)/gallery-train. TRAIN selects programs.
TRAIN ?= $(trained)
gallery-train: $(TRAIN:%=$(BUILD)/examples/%)
	@$(foreach p,$(TRAIN),echo "  TRAIN $(BUILD)/examples/$p $(options_$p)" && \
	    examples/gallery/train.sh $(BUILD)/examples $(BUILD)/gallery-train $p $(options_$p) &&) \
	echo "to store the results and their pictures: cp $(BUILD)/gallery-train/*.csv $(BUILD)/gallery-train/*.png examples/gallery/"

$(headers_made): Makefile .lint/public_headers.txt $(public_headers) | $(DEPS)
	@rm -rf $(@D) && mkdir -p $(@D)
	@for header in $(public_headers); do ln -s $(CURDIR)/$$header $(@D)/ || exit 1; done
	@touch $@

$(BUILD)/%.o: %.c Makefile $(headers_made) | $(DEPS)
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) $(INCLUDE) -c $< -o $@ $(missing_headers)

$(BUILD)/libswale.a: $(library_obj)
	@echo "  AR $@"
	@rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(BUILD)/libswale.so.$(VERSION): $(library_obj)
	@echo "  LD $@"
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBRARIES) $(missing_libraries)

$(BUILD)/$(SONAME): $(BUILD)/libswale.so.$(VERSION)
	$(Q)ln -sf $(<F) $@

$(BUILD)/libswale.so: $(BUILD)/$(SONAME)
	$(Q)ln -sf $(<F) $@

$(BUILD)/examples/%: examples/%.c $(BUILD)/libswale.a $(headers_made) | $(DEPS)
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) -MF $@.d $(INCLUDE) -Iexamples $< -o $@ $(LINK) $(LDFLAGS) $(BUILD)/libswale.a $(LIBRARIES)

# Tests are compiled without optimization, and those with long loops of their own at -O1: most of the time of a build would
# be that of the tests otherwise. Long programs are compiled as the library is.
TEST_OPTIMIZE = $(if $(filter -O3,$(OPTIMIZE)$(filter -O%,$(CFLAGS))),-O0)
$(addprefix $(BUILD)/tests/,core/kernels/% core/matrix/% core/ops/% optim/rules/% optim/test_prototypes_% optim/test_custom_copies optim/test_stored_gradients): TEST_OPTIMIZE = $(if $(filter -O3,$(OPTIMIZE)$(filter -O%,$(CFLAGS))),-O1)
$(BUILD)/tests/core/kernels/test_kernels $(BUILD)/tests/bench/% $(BUILD)/tests/convergence/%: TEST_OPTIMIZE :=
$(BUILD)/tests/%: tests/%.c $(BUILD)/libswale.a $(headers_made) | $(DEPS)
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) $(TEST_OPTIMIZE) -MF $@.d $(INCLUDE) -Itests -I$(<D) -I$(dir $(<D)) -DTEST_BUILD='"$(BUILD)"' $< -o $@ $(LINK) $(LDFLAGS) $(BUILD)/libswale.a -lcmocka $(LIBRARIES) $(call missing_headers,cmocka.h)

# test_process loads and unloads libswale.so repeatedly. Therefore it must not be linked with swale or OpenBLAS.
$(BUILD)/tests/core/test_process: private LDFLAGS += -Wl,--as-needed
$(BUILD)/tests/core/test_process: $(BUILD)/libswale.so

# SAG outside the library: copies of its files, with other symbol names, in a separate folder in which only the public
# headers can be included. A test registers it in addition to the built-in sag.
custom_sag := $(BUILD)/tests/optim/estimators/custom_sag
custom_sag_src := sag gradient_table gradient_table_entry gradient_table_fill gradient_table_loop gradient_table_weights \
                  row_sampling lipschitz_search tolerance_test sum_tree lipschitz_constants glm_loop glm_steps glm_lazy \
                  glm_missed
custom_sag_copied := $(custom_sag_src:%=optim/estimators/%.c) $(wildcard optim/estimators/*.h)
custom_sag_obj := $(custom_sag_src:%=$(custom_sag)/%.o)
$(custom_sag)/.made: Makefile $(custom_sag_copied)
	@rm -rf $(@D) && mkdir -p $(@D)/optim/estimators
	@for file in $(custom_sag_copied); do \
	    sed 's/swo_/custom_/g; s/\.name = "sag"/.name = "custom_sag"/' $$file >$(@D)/$$file || exit 1; \
	done
	@touch $@
$(custom_sag_obj): $(custom_sag)/%.o: $(custom_sag)/.made $(headers_made)
	@echo "  CC $@"
	$(Q)cd $(custom_sag) && $(CC) $(FLAGS) -I$(abspath $(BUILD)/include) -I. -c optim/estimators/$*.c -o $*.o
$(BUILD)/tests/optim/estimators/test_custom_sag: private LDFLAGS += $(custom_sag_obj)
$(BUILD)/tests/optim/estimators/test_custom_sag: $(custom_sag_obj)

# The manual page of an example, generated from the output of --help.
$(BUILD)/examples/%.1: $(BUILD)/examples/% examples/%.c examples/man.awk
	$(Q)$< --help >$@.help
	$(Q)awk -f examples/man.awk -v program=$* -v version=$(VERSION) examples/$*.c $@.help >$@
	@rm -f $@.help

# The folders of `make install`. For packages, DESTDIR is put before each of them.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
INSTALL ?= install

installed_headers := $(addprefix $(INCLUDEDIR)/swale/,$(notdir $(public_headers)))
installed_libraries := libswale.a libswale.so.$(VERSION) $(SONAME) libswale.so pkgconfig/swale.pc \
                       pkgconfig/swale-kernels.pc
installed := $(installed_headers) $(addprefix $(LIBDIR)/,$(installed_libraries)) $(BINDIR)/fashion_mnist \
             $(MANDIR)/man1/fashion_mnist.1

# After a failed command of the installation. $(1) is the folder, without DESTDIR.
not_installed = || { \
    echo "make install: cannot write to $(DESTDIR)$(strip $(1)): run it as root, or choose a folder: make install PREFIX=\$$HOME/.local" >&2; \
    exit 1; }

# LAPACK in the archive of OpenBLAS calls Fortran's run-time library. Where no archive of that library is installed, no
# program can be linked without shared libraries, and the others do not need the options.
fortran = $(if $(wildcard $(shell $(CC) -print-file-name=libgfortran.a)),-lgfortran -lquadmath -lm)

# Folders below the prefix are written relative to it, so that pkg-config works with another prefix.
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
define swale_pc
prefix=$(PREFIX)
includedir=$(call below_prefix,$(INCLUDEDIR))
libdir=$(call below_prefix,$(LIBDIR))

Name: swale
Description: tape autodiff, layers and optimizers as interchangeable parts
Version: $(VERSION)
# -lm, because programs that use a numeric library often call sqrt and exp.
Cflags: -I$${includedir}
Libs: -L$${libdir} -lswale -lm
Libs.private: $(LIBRARIES) $(fortran)
endef
# For programs with custom kernels.
define swale_kernels_pc
Name: swale-kernels
Description: compiler options for kernels written with swale's kernel.h
Version: $(VERSION)
Requires: swale = $(VERSION)
Cflags: $(NUMERICS)
endef
install: export SWALE_PC = $(swale_pc)
install: export SWALE_KERNELS_PC = $(swale_kernels_pc)

install: install-headers $(BUILD)/libswale.a $(BUILD)/libswale.so $(BUILD)/examples/fashion_mnist \
         $(BUILD)/examples/fashion_mnist.1
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(call not_installed,$(BINDIR))
	$(Q)$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(call not_installed,$(LIBDIR)/pkgconfig)
	$(Q)$(INSTALL) -d $(DESTDIR)$(MANDIR)/man1 $(call not_installed,$(MANDIR)/man1)
	$(Q)$(INSTALL) -m 644 $(BUILD)/libswale.a $(DESTDIR)$(LIBDIR) $(call not_installed,$(LIBDIR))
	$(Q)$(INSTALL) -m 755 $(BUILD)/libswale.so.$(VERSION) $(DESTDIR)$(LIBDIR) $(call not_installed,$(LIBDIR))
	$(Q)ln -sf libswale.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME) $(call not_installed,$(LIBDIR))
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libswale.so $(call not_installed,$(LIBDIR))
	$(Q)echo "$$SWALE_PC" >$(BUILD)/swale.pc
	$(Q)echo "$$SWALE_KERNELS_PC" >$(BUILD)/swale-kernels.pc
	$(Q)$(INSTALL) -m 644 $(BUILD)/swale.pc $(BUILD)/swale-kernels.pc $(DESTDIR)$(LIBDIR)/pkgconfig $(call not_installed,$(LIBDIR)/pkgconfig)
	$(Q)$(INSTALL) -m 755 $(BUILD)/examples/fashion_mnist $(DESTDIR)$(BINDIR) $(call not_installed,$(BINDIR))
	$(Q)$(INSTALL) -m 644 $(BUILD)/examples/fashion_mnist.1 $(DESTDIR)$(MANDIR)/man1 $(call not_installed,$(MANDIR)/man1)

install-headers: $(headers_made) | $(DEPS)
	$(Q)$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR)/swale $(call not_installed,$(INCLUDEDIR)/swale)
	$(Q)$(INSTALL) -m 644 $(public_headers) $(DESTDIR)$(INCLUDEDIR)/swale $(call not_installed,$(INCLUDEDIR)/swale)

# Removes the installed files and the folder of swale's headers. With DESTDIR, also removes folders that are then empty.
uninstall:
	$(Q)rm -f $(addprefix $(DESTDIR),$(installed))
	@$(if $(DESTDIR),cd $(DESTDIR) && rmdir -p --ignore-fail-on-non-empty \
	    $(patsubst /%,%,$(sort $(dir $(installed)))),rmdir $(INCLUDEDIR)/swale) 2>/dev/null || :

test check-fast: export TEST_BUILD := $(BUILD)
test: $(tests) $(examples) $(BUILD)/libswale.so $(BUILD)/examples/fashion_mnist.1
	@tests/run.sh $(slow_tests:%=$(BUILD)/tests/%) $(install_tests) $(fast_tests)

check-fast: $(fast_tests) $(examples) $(BUILD)/libswale.so $(BUILD)/examples/fashion_mnist.1
	@tests/run.sh $(fast_tests) $(filter-out %/test_install.sh,$(install_tests))

# Tests with OpenBLAS built with POSIX threads, with OpenMP, and without threads. The three libraries have the same
# SONAME. Debian installs them in three folders, and LD_LIBRARY_PATH selects one.
FLAVORS ?= pthread openmp serial
FLAVOR_DIR ?= $(firstword $(wildcard /usr/lib/*/openblas-pthread))
flavor_tests := $(filter $(addprefix %/,test_blas test_threads test_gemm test_process test_init test_tape),$(tests))
check-flavors: export TEST_BUILD := $(BUILD)
check-flavors: $(flavor_tests) $(BUILD)/libswale.so
	@[ -n "$(FLAVOR_DIR)" ] || { echo "the builds of OpenBLAS are not installed: make deps-flavors" >&2; exit 1; }
	@for flavor in $(FLAVORS); do \
	    folder=$(patsubst %-pthread,%,$(FLAVOR_DIR))-$$flavor; \
	    [ -e $$folder/libopenblas.so.0 ] || { echo "$$folder/libopenblas.so.0 does not exist: make deps-flavors" >&2; exit 1; }; \
	    echo "OpenBLAS: $$flavor"; \
	    SW_TEST_FLAVOR=$$flavor LD_LIBRARY_PATH=$$folder tests/run.sh $(flavor_tests) || exit 1; \
	done

# Writes the list of names that libswale.so exports, which the tests compare.
symbols: $(BUILD)/libswale.so
	@TEST_BUILD=$(BUILD) tests/install/test_symbols.sh --write
	@git diff --stat tests/install/symbols.txt

bench: $(benches)
	@tests/bench/run.sh $(benches)

# Benchmarks against other frameworks, as far as they are installed: see tests/README.md.
peers := $(addprefix $(BUILD)/tests/bench/peers/,side_swale side_glm_swale) $(if $(KANN_DIR),$(BUILD)/tests/bench/peers/side_kann)
bench-peers: $(peers) $(BUILD)/examples/fashion_mnist
	@PEERS_BUILD=$(BUILD) KANN_DIR=$(KANN_DIR) tests/bench/run.sh tests/bench/peers/run.py tests/bench/peers/glm.py
$(BUILD)/tests/bench/peers/side_kann: tests/bench/peers/side_kann.c $(KANN_DIR)/kann.c $(KANN_DIR)/kautodiff.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) -std=gnu11 -O3 -march=native -fno-math-errno -fno-trapping-math -w -MMD -MF $@.d -DHAVE_CBLAS -DHAVE_PTHREAD -I$(KANN_DIR) $(filter %.c,$^) -o $@ $(LIBRARIES)

# Comparison of values and gradients with PyTorch: see tests/README.md.
COUNT ?= 20000
HALF ?= 5000
NETWORKS ?= 500
SEED ?= 1
check-graphs: $(BUILD)/libswale.so
	@SWALE_BUILD=$(BUILD) tests/peers/run.sh check_graphs.py --count $(COUNT) --half $(HALF) \
	    --networks $(NETWORKS) --pictures $(NETWORKS) --sequences $(NETWORKS) --seed $(SEED)
check-peer-samples: $(BUILD)/libswale.so
	@SWALE_BUILD=$(BUILD) tests/peers/run.sh check_samples.py
check-networks: $(BUILD)/libswale.so
	@SWALE_BUILD=$(BUILD) tests/peers/run.sh check_networks.py

# Compares trainings on a text, TEXT=FILE, with those of PyTorch: see tests/README.md.
TEXT ?=
check-text: $(BUILD)/examples/gpt
	@[ -n "$(TEXT)" ] || { echo "check-text: give a text: make check-text TEXT=novel.txt" >&2; exit 1; }
	@SWALE_BUILD=$(BUILD) tests/peers/run.sh check_text.py --text $(TEXT)

# Comparison of SAG, SAGA and SVRG with Newton's method: see tests/README.md.
CELLS ?= *
JOBS ?= $(shell nproc)
variance_reduction := $(BUILD)/tests/convergence/check_variance_reduction
check-variance-reduction: $(variance_reduction)
	@$(variance_reduction) --cells='$(CELLS)' --jobs=$(JOBS)

# Fuzzing of core, nn and datasets, compiled by clang with the address, undefined-behavior and fuzzer sanitizers.
FUZZ_SECONDS ?= 60
fuzz_targets := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz:
	@$(MAKE) --no-print-directory CC=clang SANITIZE=address,undefined,fuzzer-no-link OPTIMIZE=-O1 run-fuzz
run-fuzz: $(fuzz_targets:%=$(BUILD)/tests/fuzz/fuzz_%)
	@python3 tests/fuzz/seeds.py $(BUILD)/fuzz
	@for target in $(fuzz_targets); do \
	    $(BUILD)/tests/fuzz/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -timeout=25 -rss_limit_mb=4096 -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/$$target- $(BUILD)/fuzz/$$target || exit 1; \
	done
$(BUILD)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(filter $(BUILD)/core/% $(BUILD)/nn/% $(BUILD)/datasets/%,$(library_obj))
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) -MF $@.d $(INCLUDE) -fsanitize=fuzzer $(filter %.c %.o,$^) -o $@ $(LIBRARIES)


# Formats the source with the clang-format that deps-lint installs. Generated tables in tests/golden are excluded, and
# so are tables between "clang-format off" and "clang-format on".
format_src = $(filter-out tests/golden/%,$(shell git ls-files '*.c' '*.h'))
format:
	@clang-format -i $(format_src)
check-format: | $(DEPS)
	@clang-format --dry-run -Werror $(format_src) || { echo "lint: run \`make format\`" >&2; exit 1; }
	@! LC_ALL=C.UTF-8 grep -nE '^.{121,}' $(format_src) || { echo "lint: lines of more than 120 columns" >&2; exit 1; }

# Checks the direction of dependencies, that there are no cycles of dependencies between files, and that operations,
# layers and optimization methods use only public functions.
check-rooms: $(library_obj) | $(DEPS)
	@.lint/rooms.sh $(BUILD) $(library_obj)

# ANALYZE=0 leaves out clang's static analyzer, which takes most of the time.
# A file with kernels includes itself by __BASE_FILE__, which cppcheck does not define.
lint: check-format check-rooms headers doc | $(DEPS)
	@printf '%s\n' $(library_src) $(wildcard examples/*.c) | xargs -P 4 -I '{}' \
	    clang-tidy --quiet $(if $(filter 0,$(ANALYZE)),--checks=-clang-analyzer-*) '{}' -- -std=c11 $(NUMERICS) -O1 $(INCLUDE) -Iexamples 2>$(BUILD)/tidy.log
	@printf '%s\n' $(library_src) $(wildcard examples/*.c) | xargs -P 4 -I '{}' \
	    cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
	    --suppressions-list=.cppcheck --error-exitcode=1 -D__x86_64__ '-D__BASE_FILE__="{}"' $(INCLUDE) -Iexamples '{}'
	@echo "lint: nothing found"

# Compiles every public header separately, as C and C++, as installed: copies of what build/include links to. Headers with
# kernels are excluded, because they include the source file again.
headers: $(headers_made) | $(DEPS)
	@rm -rf $(BUILD)/headers
	@$(MAKE) --no-print-directory install-headers DESTDIR= INCLUDEDIR=$(CURDIR)/$(BUILD)/headers
	@for header in $(filter-out kernel% unary.h,$(notdir $(public_headers))); do \
	    for language in c:c11 c++:c++17; do \
	        echo "#include <swale/$$header>" | $(CC) -x $${language%:*} -std=$${language#*:} \
	            -Wall -Wextra -pedantic -Werror -fsyntax-only -I$(BUILD)/headers - || exit 1; \
	    done; \
	done

# The documentation of the headers as HTML pages, in build/doc. Every warning of Doxygen or of the filter is an error.
# Doxygen ignores the exit status and the messages of the filter; therefore the filter is run separately first.
doc_input := $(patsubst %,$(BUILD)/include/swale/%,$(notdir $(filter-out %/kernel_types.h %/kernel_pass.h,$(public_headers))))
doc: $(headers_made) | $(DEPS)
	@for header in $(doc_input); do awk -f .doxygen/filter.awk $$header >/dev/null || exit 1; done
	@rm -rf build/doc && mkdir -p build/doc
	@DOXYGEN_INPUT='.doxygen/main.dox $(doc_input)' DOXYGEN_INCLUDE=$(BUILD)/include DOXYGEN_VERSION=$(VERSION) \
	    doxygen .doxygen/Doxyfile
	@echo "doc: build/doc/index.html"

# Checks that builds in two folders are equal byte for byte.
check-reproducible:
	@tests/install/reproducible.sh

clean:
	rm -rf build

-include $(library_obj:.o=.d) $(examples:=.d) $(tests:=.d) $(benches:=.d) $(peers:=.d) $(variance_reduction:=.d)
