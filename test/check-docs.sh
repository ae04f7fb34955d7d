#!/bin/sh
# Checks that every public function is documented: a comment stands directly above its
# declaration, or above the first one of a group without blank lines; that the reference
# has them all; that a name of ours in the guides and manual pages still exists; and that
# manual pages have the programs' options and settings, and no others.
# Runs in the build directory.
set -u
top=${srcdir:-.}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
n=0 failed=0

# result FILE-OF-COMPLAINTS NAME
result() {
    n=$((n + 1))
    if [ -s "$1" ]; then
        echo "not ok $n - $2"
        sed 's/^/# /' "$1"
        failed=1
    else
        echo "ok $n - $2"
    fi
}

awk '
    FNR == 1 { above = 0 }
    /^$/ { above = 0 }
    /\*\/ *$/ && !/SIOC_API/ { above = 1 }
    /^SIOC_API/ && !above && !/\/\*/ { print FILENAME ":" FNR ": no comment: " $0 }
' "$top"/include/sioc/*.h >"$work/undocumented"
result "$work/undocumented" "every public function has a comment"

grep -v '^#' "$top/libsioc.symbols" | sort -u >"$work/symbols"
"$top/scripts/reference" "$top"/include/sioc/*.h >"$work/reference.md"
sed -n 's/^<a id="\(.*\)"><\/a>$/\1/p' "$work/reference.md" | sort -u |
    comm -23 "$work/symbols" - >"$work/missing"
result "$work/missing" "the reference has every public function"

# What looks like a function of ours, `sio_x_y()` in man pages with \fB or .BR.
for doc in "$top"/doc/*.md "$top"/README.md "$top"/doc/man/libsioc.3; do
    case $doc in */reference.md) continue ;; esac # made from the headers by a build in the tree
    sed 's/\\-/-/g; s/\\f.//g' "$doc" |
        grep -oE '\b(sio|eio|net_loop|net_timer)_[a-z0-9_]+ ?\(' | tr -d ' (' |
        sort -u | while read -r name; do
        grep -qx "$name" "$work/symbols" ||
            grep -qE "(static inline .*[ *]|#define )$name\(" "$top"/include/sioc/*.h ||
            echo "${doc#"$top"/}: there is no $name()"
    done
done >"$work/stale"
result "$work/stale" "functions that the guides name exist"

for program in nuchubd.8 nuchub-agent.8 nuchub-emit.1; do
    [ -x "./${program%.*}" ] || continue
    "./${program%.*}" --help | grep -oE '\-\-[a-z-]+' | sort -u >"$work/options"
    sed 's/\\//g' "$top/doc/man/$program" | grep -oE '\-\-[a-z-]+' | sort -u |
        comm -3 "$work/options" - | sed "s/^/$program: /"
done >"$work/stale"
result "$work/stale" "--help and the manual pages have the same options"

# Keys stand in bold: one a line, or several with commas between.
sed -nE 's/^ *(TEXT|NUMBER|CHOICE)\("([a-z0-9_]+)".*/\2/p; s/^ *\{"([a-z_]+)", "[A-Z].*/\1/p' \
    "$top/src/hub/config_settings.c" | sort -u >"$work/keys"
sed -n '/^\.SH KEYS/,/^\.SH SECTIONS/p' "$top/doc/man/nuchubd.conf.5" |
    awk '/^\.TP/ { getline; sub(/^\.BR? /, ""); gsub(/[",]/, ""); print }' |
    tr -s ' ' '\n' | sort -u | comm -3 "$work/keys" - >"$work/stale"
[ -s "$work/keys" ] || echo "no keys found" >"$work/stale"
result "$work/stale" "nuchubd.conf(5) has all settings of the hub, and no others"
echo "1..$n"
exit "$failed"
