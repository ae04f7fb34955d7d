#!/bin/sh
# Checks that programs built against the last release still run with this library: with
# the same soname nothing in the interface may be other than libsioc.abi says, save for
# functions that were added.  Needs abidw and abidiff (Debian: abigail-tools) and a
# library with debugging information; else it is skipped.  Runs in the build directory.
#
#   check-abi.sh --update    writes libsioc.abi (make update-abi), for a release; with
#                            FORCE=1 even where programs would break
set -u

top=${srcdir:-.}
base=$top/libsioc.abi
library=.libs/libsioc.so
headers=$top/include/sioc
n=0 failed=0

skip() {
    echo "1..0 # SKIP $1"
    exit 77
}

result() { # TRUE-OR-FALSE NAME
    n=$((n + 1))
    if [ "$1" = true ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        failed=1
    fi
}

# write_base LIBRARY HEADERS FILE
write_base() {
    abidw --headers-dir "$2" --drop-private-types --drop-undefined-syms \
        --no-corpus-path --no-comp-dir-path --no-elf-needed "$1" |
        sed "s@filepath='[^']*/\(include/sioc\|src\)/@filepath='\1/@" >"$3"
}

# True if programs of BASE run with LIBRARY, or could not be loaded with it at all since
# the soname is another one.
compatible() { # BASE LIBRARY HEADERS
    soname=$(readelf -d "$2" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    grep -q "soname='$soname'" "$1" || return 0
    abidiff --no-added-syms --headers-dir2 "$3" --drop-private-types "$1" "$2" \
        >"$work/report" 2>&1
}

# Whether the check tells one kind of change from the other, on a library of five lines.
mini() { # SONAME DECLARATIONS DEFINITIONS
    mkdir -p "$work/mini"
    echo "$2" >"$work/mini/mini.h"
    { echo '#include "mini.h"' && echo "$3"; } >"$work/mini.c"
    # shellcheck disable=SC2086 # may be "ccache gcc"
    ${CC:-cc} -g -shared -fPIC -I"$work/mini" -Wl,-soname,"$1" -o "$work/libmini.so" \
        "$work/mini.c"
}

self_test() {
    ops='struct o { int a; }; struct in; int f(struct o *); int g(struct in *);'
    bodies='struct in { int i; }; int f(struct o *o) { return o->a; }
        int g(struct in *p) { return p->i; }'
    more_private='struct in { long j; int i; }; int f(struct o *o) { return o->a; }
        int g(struct in *p) { return p->i; }'
    grown='struct o { int a, b; }; struct in; int f(struct o *); int g(struct in *);'

    mini m.0 "$ops" "$bodies" && write_base "$work/libmini.so" "$work/mini" "$work/abi"
    is() { # TRUE-OR-FALSE NAME SONAME DECLARATIONS DEFINITIONS
        got=false
        mini "$3" "$4" "$5" && compatible "$work/abi" "$work/libmini.so" "$work/mini" &&
            got=true
        [ "$got" = "$1" ] && result true "$2" || result false "$2"
    }
    is true "a function may be added" m.0 "$ops int h(void);" \
        "$bodies int h(void) { return 1; }"
    is true "a private struct may change" m.0 "$ops" "$more_private"
    is false "a function may not go" m.0 "${ops%int g*}" "${bodies%int g*}"
    is false "a public struct may not grow" m.0 "$grown" "$bodies"
    is true "with another soname it may" m.1 "$grown" "$bodies"
}

command -v abidw >/dev/null && command -v abidiff >/dev/null || skip "no abidw"
[ -f "$library" ] || skip "no shared library here"
readelf -S "$library" | grep -q '\.debug_info' || skip "no debugging information"

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

if [ "${1-}" = --update ]; then
    if [ -z "${FORCE-}" ] && [ -f "$base" ] && ! compatible "$base" "$library" "$headers"
    then
        cat "$work/report"
        echo "Programs would break: raise SIOC_VERSION_INFO in Makefile.am first."
        exit 1
    fi
    write_base "$library" "$headers" "$base"
    exit
fi

[ -f "$base" ] || skip "nothing has been released yet"
grep -q "architecture='elf-amd-x86_64'" "$base" && [ "$(uname -m)" != x86_64 ] &&
    skip "libsioc.abi is for another machine"
self_test
if compatible "$base" "$library" "$headers"; then
    result true "programs of the last release run with this library"
else
    result false "programs of the last release run with this library"
    sed 's/^/# /' "$work/report"
    echo "# If this is meant, raise SIOC_VERSION_INFO in Makefile.am: CURRENT by one, the"
    echo "# others to 0; then run make update-abi and commit libsioc.abi."
fi
echo "1..$n"
exit "$failed"
