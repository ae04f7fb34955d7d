#!/bin/sh
# Checks that every header can be included alone, and the public ones from C++ too.
# CC and HEADER_CPPFLAGS come from make.
set -u

top=${srcdir:-.}
n=0 failed=0

try() { # NAME COMMAND...
    name=$1
    shift
    n=$((n + 1))
    if "$@"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        failed=1
    fi
}

for header in "$top"/include/sioc/*.h "$top"/src/*/*.h; do
    # shellcheck disable=SC2086 # lists of flags
    try "${header#"$top"/}" ${CC:-cc} $HEADER_CPPFLAGS -Werror -Wall -Wextra \
        -include config.h -fsyntax-only -x c "$header"
done
if ${CXX:-c++} --version >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    try "sioc/sioc.h from C++" sh -c "echo '#include <sioc/sioc.h>' |
        ${CXX:-c++} $HEADER_CPPFLAGS -Werror -Wall -Wextra -fsyntax-only -x c++ -"
fi
echo "1..$n"
exit "$failed"
