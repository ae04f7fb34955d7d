#!/bin/sh
# Installs the library below a directory of its own and uses it as a stranger would: by
# pkg-config, from C and C++, shared and static; then compiles the installed examples.
# Runs in the build directory; MAKE, CC, SANITIZE_CFLAGS come from make.
set -u

top=${srcdir:-.}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
n=0 failed=0

ok() { # EXIT-CODE NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$work/log"
        failed=1
    fi
}

case ${CC-cc} in
*clang*) cxx=${CXX:-clang++} ;;
*) cxx=${CXX:-c++} ;;
esac
unset MAKEFLAGS MFLAGS MAKELEVEL

${MAKE:-make} -s all install-libLTLIBRARIES install-siocincludeHEADERS \
    install-nodist_pkgconfigDATA install-dist_examplesDATA DESTDIR="$work/root" \
    >"$work/log" 2>&1
ok $? "make install DESTDIR=..."

pc=$(find "$work/root" -name libsioc.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
sed -i "s|^prefix=.*|prefix=$work/root$prefix|" "$pc"
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH

# build NAME LIBRARY-FLAGS COMPILER...: makes $work/program and runs it.
build() {
    name=$1 libs=$2 want=$3
    shift 3
    # shellcheck disable=SC2086,SC2046 # lists of flags
    "$@" ${SANITIZE_CFLAGS-} -Wall -Wextra -Werror -o "$work/program" $(
        pkg-config --cflags libsioc) $libs >"$work/log" 2>&1 &&
        LD_LIBRARY_PATH=$libdir "$work/program" >"$work/log" 2>&1 &&
        [ "$(cat "$work/log")" = "$want" ]
    ok $? "$name"
}

shared=$(pkg-config --libs libsioc)
static=$(pkg-config --static --libs libsioc | sed 's/-lsioc/-l:libsioc.a/')
c="${CC-cc} -std=c11 -pedantic $top/test/install/program.c"
cc="$cxx -std=c++17 -pedantic -x c++ $top/test/install/program.cc -x none"
have_cxx=true
$cxx --version >/dev/null 2>&1 || have_cxx=false
# shellcheck disable=SC2086 # "ccache gcc" is two words
if [ -f "$libdir/libsioc.so" ]; then
    build "a C program, shared" "$shared" 42 $c
    $have_cxx && build "a C++ program, shared" "$shared" '"hello C++"' $cc
fi
# shellcheck disable=SC2086
if [ -f "$libdir/libsioc.a" ]; then
    build "a C program, static, with names that the library has inside" "$static" 42 $c
    $have_cxx && build "a C++ program, static" "$static" '"hello C++"' $cc
fi

# From here on with what there is.
linking=
[ -f "$libdir/libsioc.so" ] || linking=--static
sed -n '/^```c$/,/^```$/p' "$top/README.md" | sed '/^```/d' >"$work/readme.c"
sed -n '/^\.EX$/,/^\.EE$/p' "$top/doc/man/libsioc.3" |
    sed '/^\./d; s/\\e/\\/g; s/\\-/-/g' >"$work/manual.c"
for source in "$work/readme.c" "$work/manual.c"; do
    # shellcheck disable=SC2086,SC2046
    ${CC-cc} ${SANITIZE_CFLAGS-} -Wall -Wextra -Wno-unused-parameter -Werror \
        -o "$work/program" "$source" $(pkg-config $linking --cflags --libs libsioc) >"$work/log" 2>&1
    ok $? "the program in ${source##*/} compiles"
done
for source in $(find "$work/root" -path '*/examples/*.c' | sort); do
    needs= parts=$source
    case $source in
    */embed-glib.c) needs=glib-2.0 ;;
    */embed-uv.c) needs=libuv ;;
    */conformance.c) parts="${source%.c}*.c" ;;
    */conformance_*) continue ;;
    esac
    # shellcheck disable=SC2086
    [ -z "$needs" ] || pkg-config --exists $needs || continue
    # shellcheck disable=SC2086,SC2046
    ${CC-cc} ${SANITIZE_CFLAGS-} -Wall -Wextra -Werror -o "$work/program" $parts $(
        pkg-config $linking --cflags --libs libsioc $needs) -pthread >"$work/log" 2>&1
    ok $? "the example ${source##*/} compiles"
done
echo "1..$n"
exit "$failed"
