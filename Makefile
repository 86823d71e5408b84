# swale. `make help` lists the targets.
#
#   make                     build/libswale.a, build/libswale.so, build/examples/NAME
#   make CC=clang SANITIZE=address,undefined test
#
# Other compilers and sanitizers build into a folder of their own below build/.

PACKAGES = libopenblas-dev libstb-dev zlib1g-dev libjansson-dev dataset-fashion-mnist gnuplot-nox \
           libcmocka-dev

comma := ,
VERSION_MAJOR := 0
SANITIZE ?=
variant := $(if $(filter-out cc gcc,$(notdir $(CC))),$(notdir $(CC)))$(if $(SANITIZE),$(if $(filter-out cc gcc,$(notdir $(CC))),-)$(subst $(comma),-,$(SANITIZE)))
BUILD := build$(if $(variant),/$(variant))

OPTIMIZE ?= -O3
CFLAGS ?=
# Equal bits from every compiler and level: no fast-math, no contraction. Without -fno-math-errno a
# square root is a call.
NUMERICS := -fno-math-errno -fno-trapping-math -ffp-contract=off
WARNINGS := -Wall -Wextra -Wshadow -Wconversion
FLAGS := -std=c11 -g $(OPTIMIZE) $(NUMERICS) $(WARNINGS) -fPIC -fvisibility=hidden \
         -fno-semantic-interposition -MMD -MP \
         $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all) $(CFLAGS)
LINK := $(if $(SANITIZE),-fsanitize=$(SANITIZE))
LIBRARIES := -lopenblas -lz -lm -pthread

core_src := $(wildcard core/*.c)
nn_src := $(wildcard nn/*.c)
optim_src := $(wildcard optim/*.c optim/*/*.c)
datasets_src := $(wildcard datasets/*.c)
library_src := $(core_src) $(nn_src) $(optim_src) $(datasets_src)
library_obj := $(library_src:%.c=$(BUILD)/%.o)
examples := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
test_src := $(wildcard tests/core/*.c tests/nn/*.c tests/optim/*.c tests/datasets/*.c tests/examples/*.c)
tests := $(test_src:%.c=$(BUILD)/%)
fast_tests = $(filter-out %/test_accuracy,$(tests))
bench_src := $(wildcard tests/bench/bench_*.c)
benches := $(bench_src:%.c=$(BUILD)/%)

# Folders see core and themselves, never one another.
$(BUILD)/core/%.o: INCLUDE := -Icore
$(BUILD)/nn/%.o: INCLUDE := -Icore -Inn
$(BUILD)/optim/%.o: INCLUDE := -Icore -Ioptim
$(BUILD)/datasets/%.o: INCLUDE := -Icore -Idatasets
PUBLIC := -Icore -Inn -Ioptim -Idatasets
# stb_image's sums over damaged pictures overflow: they wrap.
$(BUILD)/datasets/picture.o: FLAGS += -fwrapv

# In `make -j deps train` nothing is compiled before everything is installed.
DEPS := $(if $(filter deps,$(MAKECMDGOALS)),deps)

# `make V=1` shows the commands.
Q := $(if $(V),,@)

.PHONY: all help deps deps-lint train test check-fast bench bench-peers fuzz run-fuzz lint headers clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/libswale.a $(BUILD)/libswale.so $(examples)

help:
	@echo "make            the library and the examples, in $(BUILD)/"
	@echo "make deps       install what is needed (Debian)"
	@echo "make train      train on Fashion-MNIST"
	@echo "make test       all tests; check-fast: those that take under 30 s together"
	@echo "make bench      speed: one line per figure, name value target ok|short"
	@echo "make bench-peers  speed against PyTorch, JAX and kann, where they are: PEERS_PYTHON=, KANN_DIR="
	@echo "make fuzz       every reader of files against libFuzzer (clang), FUZZ_SECONDS=60 each"
	@echo "make lint       clang-tidy, cppcheck, and the headers as C11 and C++17; make deps-lint installs them"
	@echo "make clean      remove build/"
	@echo "variables       CC=clang  SANITIZE=address,undefined  OPTIMIZE=-O1  CFLAGS=  V=1"

deps-lint: PACKAGES += clang clang-tidy cppcheck g++
deps deps-lint:
	@missing=; for p in $(PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	    command -v apt-get >/dev/null || { echo "make deps installs Debian packages; needed here:$$missing" >&2; exit 1; }; \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    echo "installing$$missing"; \
	    $$sudo apt-get update -qq && \
	    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

train: $(BUILD)/examples/fashion_mnist
	$(BUILD)/examples/fashion_mnist $(ARGS)

$(BUILD)/%.o: %.c Makefile | $(DEPS)
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) $(INCLUDE) -c $< -o $@

$(BUILD)/libswale.a: $(library_obj)
	@echo "  AR $@"
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/libswale.so.$(VERSION_MAJOR): $(library_obj)
	@echo "  LD $@"
	$(Q)$(CC) -shared -Wl,-soname,libswale.so.$(VERSION_MAJOR) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/libswale.so: $(BUILD)/libswale.so.$(VERSION_MAJOR)
	$(Q)ln -sf libswale.so.$(VERSION_MAJOR) $@

$(BUILD)/examples/%: examples/%.c $(BUILD)/libswale.a | $(DEPS)
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) -MF $@.d $(PUBLIC) -Iexamples $< -o $@ $(LINK) $(LDFLAGS) $(BUILD)/libswale.a $(LIBRARIES)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libswale.a | $(DEPS)
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) -MF $@.d $(PUBLIC) -Itests -I$(<D) -DTEST_BUILD='"$(BUILD)"' $< -o $@ $(LINK) $(LDFLAGS) $(BUILD)/libswale.a -lcmocka $(LIBRARIES)

test: $(tests) $(examples) $(BUILD)/libswale.so
	@tests/run.sh $(tests)

check-fast: $(fast_tests) $(examples)
	@tests/run.sh $(fast_tests)

bench: $(benches)
	@tests/bench/run.sh $(benches)

# Other frameworks are used where they are installed: see tests/README.md.
peers := $(BUILD)/tests/bench/peers/side_swale $(if $(KANN_DIR),$(BUILD)/tests/bench/peers/side_kann)
bench-peers: $(peers) $(BUILD)/examples/fashion_mnist
	@PEERS_BUILD=$(BUILD) KANN_DIR=$(KANN_DIR) tests/bench/run.sh tests/bench/peers/run.py
$(BUILD)/tests/bench/peers/side_kann: tests/bench/peers/side_kann.c $(KANN_DIR)/kann.c $(KANN_DIR)/kautodiff.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) -std=gnu11 -O3 -march=native -fno-math-errno -fno-trapping-math -w -MMD -MF $@.d -DHAVE_CBLAS -DHAVE_PTHREAD -I$(KANN_DIR) $(filter %.c,$^) -o $@ $(LIBRARIES)

# Core and datasets compiled by clang under the address, undefined and fuzzer sanitizers.
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
$(BUILD)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(filter $(BUILD)/core/% $(BUILD)/datasets/%,$(library_obj))
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(FLAGS) -MF $@.d $(PUBLIC) -fsanitize=fuzzer $(filter %.c %.o,$^) -o $@ $(LIBRARIES)


lint: headers
	@printf '%s\n' $(library_src) $(wildcard examples/*.c) | xargs -P 4 -I '{}' \
	    clang-tidy --quiet '{}' -- -std=c11 $(NUMERICS) -O1 $(PUBLIC) -Iexamples 2>$(BUILD)/tidy.log
	@cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
	    --suppressions-list=.cppcheck --error-exitcode=1 -D__x86_64__ -j 4 $(PUBLIC) -Iexamples \
	    $(library_src) examples
	@echo "lint: nothing found"

# Every public header by itself, as a user's compiler sees it. kernel.h is for C: it includes itself.
headers:
	@mkdir -p $(BUILD)
	@for header in core/core.h core/extend.h core/swale.h nn/nn.h optim/optim.h datasets/datasets.h; do \
	    for language in c:c11 c++:c++17; do \
	        echo "#include \"$$header\"" | $(CC) -x $${language%:*} -std=$${language#*:} -Wall -Wextra -pedantic \
	            -Werror -fsyntax-only -I. $(PUBLIC) - || exit 1; \
	    done; \
	done

clean:
	rm -rf build

-include $(library_obj:.o=.d) $(examples:=.d) $(tests:=.d) $(benches:=.d) $(peers:=.d)
