#!/bin/sh
# Checks that the library exports what libsioc.symbols lists and nothing else, that these
# are the functions marked SIOC_API in the headers, and that the static library keeps
# everything else to itself.  Runs in the build directory; NM comes from make.
#
#   check-symbols.sh --update    writes libsioc.symbols (make update-symbols)
set -u

top=${srcdir:-.}
list=$top/libsioc.symbols
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
n=0 failed=0

# same NAME FILE-THAT-SHOULD-BE FILE-THAT-IS HINT
same() {
    n=$((n + 1))
    if diff "$2" "$3" >"$work/diff"; then
        echo "ok $n - $1"
        return
    fi
    echo "not ok $n - $1"
    sed -n 's/^</# gone: /p; s/^>/# new:  /p' "$work/diff"
    echo "# $4"
    failed=1
}

# The names that a file defines for others.  Sanitizers add names with two underscores.
defined() { # FILE NM-OPTION...
    file=$1
    shift
    ${NM:-nm} -g -P "$@" "$file" | awk '$2 != "U" && $2 != "A" && NF > 2 { print $1 }' |
        sed 's/@.*//' | grep -v '^__' | sort
}

# The functions in the headers, however their lines are broken.
declared() {
    cat "$top"/include/sioc/*.h | tr '\n' ' ' | sed 's/SIOC_API/\
&/g' | sed -n 's/^SIOC_API [^(;]*[ *]\([a-z][a-z0-9_]*\)(.*/\1/p' | sort
}

shared=.libs/libsioc.so static=.libs/libsioc.a
if [ -f "$shared" ]; then
    defined "$shared" -D >"$work/exported"
elif [ -f "$static" ]; then
    defined "$static" >"$work/exported"
else
    echo "1..0 # SKIP there is no library here"
    exit 77
fi

if [ "${1-}" = --update ]; then
    {
        echo '# The public functions; make update-symbols writes this file.'
        cat "$work/exported"
    } >"$work/list" && cat "$work/list" >"$list"
    exit
fi

grep -v '^#' "$list" | sort -u >"$work/listed"
declared >"$work/declared"
same "the library exports what libsioc.symbols lists" "$work/listed" "$work/exported" \
    "If this is meant, run make update-symbols and commit libsioc.symbols."
same "what is exported is marked SIOC_API in a header" "$work/declared" \
    "$work/exported" "A public function is declared with SIOC_API and has a body."
if [ -f "$static" ] && [ -f "$shared" ]; then
    defined "$static" >"$work/archived"
    same "the static library defines the same names" "$work/exported" \
        "$work/archived" "make builds libsioc.stamp, which hides the others."
fi
echo "1..$n"
exit "$failed"
