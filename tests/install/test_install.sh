#!/bin/sh
# Tests `make install` in empty folders, without access to the source: headers, libraries, pkg-config, the manual
# page; and that `make uninstall` removes everything. Prints results in the format of cmocka, for tests/run.sh.
# Arguments are the names of tests to run; without arguments, all run.
# shellcheck disable=SC2016,SC2046,SC2086 # flags are words; $HOME is in a message
cd "$(dirname "$0")/../.." || exit 1
: "${MAKE:=make}" "${CC:=cc}" "${CXX:=c++}"
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
stage=$folder/stage
warnings="-Wall -Wextra -pedantic -Werror"
version=$(sed -n 's/.*SW_VERSION_[A-Z]* \([0-9][0-9]*\)$/\1/p' core/base/api.h | paste -sd. -)
soname=libswale.so.${version%.*} # before 1.0: the minor version is part of it

die() {
    echo "$*"
    exit 1
}
skip() {
    echo "$*"
    exit 77
}

# As a packager does it, whatever the user's umask.
install_into() {
    mkdir "$1"
    (umask 077 && "$MAKE" --no-print-directory install DESTDIR="$1" PREFIX=/usr/local)
}
# pkg-config that finds nothing but what is in the stage.
config() {
    PKG_CONFIG_LIBDIR=$stage/usr/local/lib/pkgconfig PKG_CONFIG_PATH='' \
        PKG_CONFIG_SYSROOT_DIR=$stage pkg-config "$@"
}
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

test_files() {
    {
        echo "755 usr/local/bin/fashion_mnist"
        sed 's|.*/|644 usr/local/include/swale/|' .lint/public_headers.txt
        echo "644 usr/local/lib/libswale.a"
        echo "777 usr/local/lib/libswale.so $soname"
        echo "777 usr/local/lib/$soname libswale.so.$version"
        echo "755 usr/local/lib/libswale.so.$version"
        echo "644 usr/local/lib/pkgconfig/swale-kernels.pc"
        echo "644 usr/local/lib/pkgconfig/swale.pc"
        echo "644 usr/local/share/man/man1/fashion_mnist.1"
    } | LC_ALL=C sort -k 2 >"$folder/expected"
    find "$stage" ! -type d -printf '%m %P %l\n' | sed 's/ *$//' | LC_ALL=C sort -k 2 >"$folder/found"
    diff "$folder/expected" "$folder/found"
    readelf -d "$stage/usr/local/lib/libswale.so" | grep -F "soname: [$soname]"
}

# Each header by itself, as a program includes it, with pkg-config's flags. Those with kernels are below.
compile_headers() {
    for header in $(sed 's|.*/||; /^kernel/d; /^unary/d' .lint/public_headers.txt); do
        printf '#include <swale/%s>\n#include <swale/%s>\n' "$header" "$header" >"$folder/header"
        "$@" $warnings -fsyntax-only $(config --cflags swale) "$folder/header"
    done
}
test_headers_c11() { compile_headers "$CC" -x c -std=c11; }
test_headers_cxx17() {
    echo 'int main() { return 0; }' | "$CXX" -x c++ -std=c++17 -fsyntax-only - || skip "no C++ compiler"
    compile_headers "$CXX" -x c++ -std=c++17
}

# Kernels of headers, in every pass of a file's own.
test_headers_kernels() {
    cd "$folder"
    for header in kernel_compensated kernel_glm kernel_rows unary; do
        printf '#include <swale/kernel.h>\n#include <swale/%s.h>\n#if !SW_KERNEL_PASS\n%s\n#endif\n' $header \
            'int main(void) { return 0; }' >kernels.c
        "$CC" $warnings -O2 -I. kernels.c -o kernels $(config --cflags --libs swale-kernels)
    done
}

# The two examples, copied to where nothing else is.
build_examples() {
    mkdir -p "$folder/user"
    cp examples/hello.c examples/extend.c "$folder/user"
    cd "$folder/user"
    "$CC" $warnings hello.c -o hello $(config $static --cflags --libs swale)
    # kernel.h includes the file with the kernels again: -I.
    "$CC" $warnings -O2 -I. extend.c -o extend $(config $static --cflags --libs swale-kernels)
}
run_examples() {
    ./hello | tee hello.out
    grep -q '^mean loss of the first epoch: 0\.[0-9]*$' hello.out
    ./extend | tee extend.out
    grep -q '^mse 0\.000' extend.out
}

test_shared() {
    static=''
    build_examples
    for program in hello extend; do
        needed $program | grep -qx "$soname"
    done
    # What the library needs is the library's business.
    if needed hello | grep openblas; then die "hello is linked with OpenBLAS itself"; fi
    LD_LIBRARY_PATH=$stage/usr/local/lib
    export LD_LIBRARY_PATH
    run_examples
}

# The built-in methods, copied to where nothing but the installed headers is.
test_copies() {
    mkdir -p "$folder/copies/optim"
    cp -r optim/rules optim/averages optim/schedules optim/searches "$folder/copies/optim"
    cd "$folder/copies"
    for file in optim/*/*.c; do
        "$CC" -std=c11 $warnings -O1 -I. -c "$file" -o copy.o $(config --cflags swale-kernels) || die "$file"
    done
}

# Where there is only the archive: the linker takes the shared library otherwise.
test_static() {
    static=--static
    stage=$folder/archive
    cp -a "$folder/stage" "$stage"
    rm "$stage"/usr/local/lib/libswale.so*
    build_examples
    if needed hello | grep swale; then die "hello is linked with the shared library"; fi
    run_examples
}

test_all_static() {
    echo 'int main(void) { return 0; }' |
        "$CC" -x c - -static -o "$folder/probe" -lopenblas -lz -lgfortran -lquadmath -lm ||
        skip "no archives of OpenBLAS, zlib, Fortran's library and C's library"
    "$CC" $warnings examples/hello.c -o "$folder/hello" -static $(config --static --cflags --libs swale)
    [ -z "$(needed "$folder/hello")" ]
    "$folder/hello" | grep '^mean loss of the first epoch: 0\.[0-9]*$'
}

# api.h, sw_version(), pkg-config and the program agree.
test_version() {
    [ "$(config --modversion swale)" = "$version" ]
    [ "$(config --modversion swale-kernels)" = "$version" ]
    cat >"$folder/version.c" <<'END'
#include <stdio.h>
#include <swale/swale.h>
int main(void) {
    printf("%d.%d.%d %s\n", SW_VERSION_MAJOR, SW_VERSION_MINOR, SW_VERSION_PATCH, sw_version());
}
END
    "$CC" $warnings "$folder/version.c" -o "$folder/version" $(config --cflags --libs swale)
    LD_LIBRARY_PATH=$stage/usr/local/lib
    export LD_LIBRARY_PATH
    said=$("$folder/version")
    [ "$said" = "$version $version" ] || die "api.h and sw_version() say $said, the Makefile $version"
    unset LD_LIBRARY_PATH # the program needs no libswale.so
    "$stage/usr/local/bin/fashion_mnist" --version | grep -F "swale $version"
}

# Every option of --help is there, and groff has nothing to say about the page.
test_manual() {
    page=$stage/usr/local/share/man/man1/fashion_mnist.1
    "$stage/usr/local/bin/fashion_mnist" --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p' >"$folder/options"
    [ "$(wc -l <"$folder/options")" -gt 10 ]
    while read -r option; do
        escaped=$(echo "$option" | sed 's/-/\\-/g')
        grep -qF "\\fB$escaped\\fR" "$page" || die "$option is not in the manual page"
    done <"$folder/options"
    command -v groff || skip "no groff"
    groff -ww -Kutf8 -Tutf8 -man "$page" 2>"$folder/complaints" >"$folder/page"
    [ ! -s "$folder/complaints" ] || die "$(cat "$folder/complaints")"
    tr -s ' \n' ' ' <"$folder/page" | grep -q 'trains a multilayer perceptron'
}

# A program that calls libm itself needs no flag besides.
test_libm() {
    cat >"$folder/root.c" <<'END'
#include <math.h>
#include <stdio.h>
#include <swale/swale.h>
int main(int argc, char **argv) {
    (void)argv;
    printf("%s %.1f\n", sw_version(), pow(argc + 1, 3) + cbrt(8.0 * argc));
}
END
    "$CC" $warnings -O0 "$folder/root.c" -o "$folder/root" $(config --cflags --libs swale)
    LD_LIBRARY_PATH=$stage/usr/local/lib "$folder/root" | grep -x "$version 10.0"
}

# Lists of layers with and without the NULL, by a C++ compiler that is strict.
test_layers_cxx17() {
    echo 'int main() { return 0; }' | "$CXX" -x c++ -std=c++17 -fsyntax-only - || skip "no C++ compiler"
    cat >"$folder/layers.cc" <<'END'
#include <swale/swale.h>
static sw_tensor through(sw_module *self, sw_tensor x) { return sw_forward(sw_module_child(self, 0), x); }
int main() {
    sw_model *net = sw_model_new(SW_F32, 1);
    sw_module *a = sw_nn_sequential(net, sw_nn_linear(net, 3, 2), sw_nn_relu(net), NULL);
    sw_module *b = sw_nn_sequential(net, sw_nn_compose(net, "block", through, sw_nn_relu(net)),
                                    sw_nn_sequential(net, nullptr), sw_nn_linear(net, 2, 1));
    sw_params *params = sw_model_build(net, ::sw_nn_sequential(net, a, b));
    const bool right = params && sw_params_count(params) == 4 && a->children == 2 && b->children == 3;
    sw_model_free(net);
    return !right;
}
END
    "$CXX" -std=c++17 $warnings "$folder/layers.cc" -o "$folder/layers" $(config --cflags --libs swale)
    LD_LIBRARY_PATH=$stage/usr/local/lib "$folder/layers"
}

# A typo in a specification ends the program of README.md before its first batch.
test_typo() {
    sed 's/"adamw /"adamm /' examples/hello.c >"$folder/typo.c"
    "$CC" $warnings "$folder/typo.c" -o "$folder/typo" $(config --cflags --libs swale)
    status=0
    LD_LIBRARY_PATH=$stage/usr/local/lib "$folder/typo" >"$folder/out" 2>"$folder/err" || status=$?
    [ $status -eq 1 ] || die "status $status"
    [ ! -s "$folder/out" ] || die "printed: $(cat "$folder/out")"
    grep -F 'adamm, did you mean adam' "$folder/err"
}

# The program of README.md with the source and the network of the section about convolutional networks. The last digit of
# the loss depends on the processor, because matrix products do.
test_convolutional_network() {
    sed -n '/^## Convolutional networks$/,/^## /p' README.md >"$folder/section"
    {
        sed '/sw_source \*train/,$d' examples/hello.c
        sed -n '/^```c$/,/^```$/{/^```/d; p;}' "$folder/section"
        sed -n '/sw_optim \*opt/,$p' examples/hello.c
    } >"$folder/lenet.c"
    "$CC" $warnings "$folder/lenet.c" -o "$folder/lenet" $(config --cflags --libs swale)
    LD_LIBRARY_PATH=$stage/usr/local/lib "$folder/lenet" | sed 's/.$//' >"$folder/printed"
    sed '1,/^```$/d' "$folder/section" | sed -n 's/^    //p' | sed 's/.$//' | diff - "$folder/printed"
}

# The program in the section of README.md about mixed precision prints what follows it there. If its training fails, it
# leaves the file of an earlier run unchanged.
test_mixed_precision() {
    mkdir "$folder/mixed"
    sed -n '/^## Mixed precision$/,/^## /p' README.md >"$folder/mixed/section"
    cd "$folder/mixed"
    sed -n '/^```c$/,/^```$/{/^```/d; p;}' section >mixed.c
    sed '1,/^```$/d' section | sed -n 's/^    //p' >expected
    [ "$(wc -l <expected)" -eq 2 ]
    "$CC" $warnings mixed.c -o mixed $(config --cflags --libs swale)
    LD_LIBRARY_PATH=$stage/usr/local/lib ./mixed >printed
    diff expected printed
    sed 's/"adam /"adamm /' mixed.c >failed.c
    "$CC" $warnings failed.c -o failed $(config --cflags --libs swale)
    cp spirals.safetensors earlier
    if LD_LIBRARY_PATH=$stage/usr/local/lib ./failed >printed 2>&1; then die "the training did not fail"; fi
    cmp earlier spirals.safetensors
}

# What is missing to build, and how to get it: a compiler that finds one header less, a linker one library.
test_missing_packages() {
    for missing in cblas.h stb/stb_image.h; do
        cat >"$folder/cc" <<END
#!/bin/sh
case " \$* " in *" -E "*) ! grep -q '<$missing>'; exit ;; esac
echo "fatal error: $missing: No such file or directory" >&2
exit 1
END
        chmod +x "$folder/cc"
        "$MAKE" --no-print-directory CC="$folder/cc" BUILD="$folder/missing" "$folder/missing/core/kernels/gemm.o" \
            >"$folder/said" 2>&1 && die "it was built"
        grep -F "$missing is missing: \`make deps\` installs" "$folder/said"
        [ "$(grep -c 'is missing' "$folder/said")" -eq 1 ]
    done
    cat >"$folder/cc" <<END
#!/bin/sh
case " \$* " in *" -c "*) exec $CC "\$@" ;; *" -lopenblas "*) exit 1 ;; esac
exit 0
END
    "$MAKE" --no-print-directory CC="$folder/cc" BUILD="$folder/missing" library_obj= \
        "$folder/missing/libswale.so.$version" >"$folder/said" 2>&1 && die "it was linked"
    grep -F "libopenblas is missing: \`make deps\` installs" "$folder/said"
    [ "$(grep -c 'is missing' "$folder/said")" -eq 1 ]
    # An error of the program's own gets no advice.
    printf '#!/bin/sh\ncase " $* " in *" -E "*) exit 0 ;; esac\nexit 1\n' >"$folder/cc"
    "$MAKE" --no-print-directory CC="$folder/cc" BUILD="$folder/missing" "$folder/missing/core/kernels/gemm.o" \
        >"$folder/said" 2>&1 && die "it was built"
    if grep 'is missing' "$folder/said"; then die "nothing is"; fi
}

# `make deps` as a user, where there is no sudo.
test_no_sudo() {
    mkdir "$folder/bin"
    for tool in sh grep sed; do
        ln -s "$(command -v $tool)" "$folder/bin/$tool"
    done
    printf '#!/bin/sh\necho 1000\n' >"$folder/bin/id"
    printf '#!/bin/sh\nexit 1\n' >"$folder/bin/dpkg-query"
    printf '#!/bin/sh\necho "apt-get was called"\n' >"$folder/bin/apt-get"
    chmod +x "$folder"/bin/id "$folder"/bin/dpkg-query "$folder"/bin/apt-get
    make=$(command -v "$MAKE")
    PATH=$folder/bin "$make" --no-print-directory deps >"$folder/said" 2>&1 && die "$(cat "$folder/said")"
    grep -F 'there is no sudo here: as root, apt-get install libopenblas-dev' "$folder/said"
    if grep 'was called' "$folder/said"; then die "it went on"; fi
}

# A folder in which nothing can be made, whoever one is.
test_no_permission() {
    "$MAKE" --no-print-directory install DESTDIR= PREFIX=/proc/swale >"$folder/said" 2>&1 && die "it was installed"
    grep -F 'make install: cannot write to /proc/swale/include/swale: run it as root, or choose a folder: make install PREFIX=$HOME/.local' \
        "$folder/said"
}

test_uninstall() {
    "$MAKE" --no-print-directory uninstall DESTDIR="$stage" PREFIX=/usr/local
    left=$(find "$stage" -mindepth 1)
    [ -z "$left" ] || die "left over: $left"
}

# Without DESTDIR, in folders of the user's choice; what is somebody else's stays, empty folders too.
test_folders() {
    home=$folder/home
    mkdir -p "$home/include/swale" "$home/l/pkgconfig" "$home/m/man1"
    touch "$home/include/swale/mine.h" "$home/l/libmine.so" "$home/l/pkgconfig/mine.pc"
    find "$home" | sort >"$folder/before"
    set -- PREFIX="$home" BINDIR="$home/b" LIBDIR="$home/l" INCLUDEDIR="$home/include" MANDIR="$home/m" \
        DESTDIR=
    "$MAKE" --no-print-directory install "$@"
    "$MAKE" --no-print-directory install "$@" # over itself
    for file in b/fashion_mnist l/libswale.so m/man1/fashion_mnist.1 include/swale/swale.h; do
        [ -f "$home/$file" ] || die "no $file"
    done
    flags=$(PKG_CONFIG_PATH=$home/l/pkgconfig pkg-config --cflags --libs swale)
    [ "$(echo $flags)" = "-I$home/include -L$home/l -lswale -lm" ] || die "pkg-config says $flags"
    "$MAKE" --no-print-directory uninstall "$@"
    rmdir "$home/b" # made by install; in a prefix, empty folders stay
    find "$home" | sort | diff "$folder/before" -
}

install_into "$stage" >"$folder/log" 2>&1 || {
    cat "$folder/log"
    exit 1
}
all="files headers_c11 headers_cxx17 headers_kernels shared copies static all_static version libm layers_cxx17 typo
convolutional_network mixed_precision missing_packages no_sudo no_permission manual uninstall folders"
for name in ${*:-$all}; do
    (
        set -e
        "test_$name"
    ) >"$folder/log" 2>&1
    case $? in
    0) echo "[       OK ] install_$name" ;;
    77) tail -n 1 "$folder/log" && echo "[  SKIPPED ] install_$name" ;;
    *) cat "$folder/log" && echo "[  FAILED  ] install_$name" && failed=yes ;;
    esac
done
[ -z "$failed" ]
