#!/bin/sh
# Checks the layers: a file under src/ includes from its own folder and from those
# before it in the order, never from a later one; a public header counts for the layer
# that defines what it declares.  An outside library is included only by its files.
set -u
cd "${srcdir:-.}" || exit 1

order='base net redis http engineio socketio cluster store hub agent emit'
failed=0

complain() {
    echo "$1" >&2
    failed=1
}

rank() {
    n=0
    for layer in $order; do
        n=$((n + 1))
        [ "$layer" = "$1" ] && echo "$n" && return
    done
    echo 0
}

# Which layer a header given as in the #include belongs to; nothing: not ours.
layer_of() {
    case $1 in
    '<sioc/error.h>' | '<sioc/bytes.h>') echo base ;;
    '<sioc/loop.h>') echo base ;; # the levels of the log are declared there
    '<sioc/http.h>') echo http ;;
    '<sioc/engineio.h>') echo engineio ;;
    '<sioc/cluster.h>') echo cluster ;;
    '<sioc/'*) echo socketio ;;
    '"src/'*) echo "$1" | cut -d/ -f2 ;; # made by the build
    '"'*/*) echo "${1#\"}" | cut -d/ -f1 ;;
    esac
}

check_include() { # FILE HEADER
    own=$(echo "$1" | cut -d/ -f2)
    layer=$(layer_of "$2")
    [ -n "$layer" ] || return 0
    case "$own:$layer" in
    agent:redis | agent:cluster | agent:store | agent:hub) complain "$1: the agent does not use $layer: $2" ;;
    esac
    [ "$(rank "$layer")" -gt 0 ] || complain "$1: unknown layer: $2"
    [ "$(rank "$layer")" -le "$(rank "$own")" ] || complain "$1: includes from below: $2"
}

# LIBRARY PATTERN-OF-HEADER FILES-THAT-MAY...
check_library() {
    library=$1 pattern=$2
    shift 2
    for file in $(grep -rlE "^ *# *include <($pattern)" src); do
        case " $* " in
        *" $file "*) ;;
        *) complain "$file: includes $library, which is for $* only" ;;
        esac
    done
}

includes=$(grep -rnE '^ *# *include ["<]' src --include='*.[ch]' |
    sed -E 's/^([^:]*):[0-9]*: *# *include *(["<][^">]*[">]).*/\1 \2/' |
    grep -E ' (<sioc/|"[a-z]*/)')
while read -r file header; do
    check_include "$file" "$header"
done <<END
$includes
END

check_library llhttp 'llhttp\.h' src/http/parser.c
check_library wslay 'wslay/' src/http/ws_reader.c
check_library zlib 'zlib\.h' src/http/deflate.c
check_library OpenSSL 'openssl/' src/net/tls.c
check_library hiredis 'hiredis/' src/redis/reply.c
check_library FFmpeg 'lib(av[a-z]*|sw[a-z]*)/' src/agent/capture_ffmpeg.c \
    src/agent/ffmpeg.h src/agent/feed.c src/agent/jpeg.c src/agent/overlay.c src/agent/video.c

if [ "$failed" = 0 ]; then
    printf '1..1\nok 1 - every include respects the layers\n'
else
    printf '1..1\nnot ok 1 - every include respects the layers\n'
fi
exit "$failed"
