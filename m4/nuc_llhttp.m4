# NUC_CHECK_LLHTTP
# The system's libllhttp if pkg-config knows it; else its generated C sources, which
# Debian 12 ships in node-llhttp, are compiled into a convenience library.
# Sets LLHTTP_CFLAGS, LLHTTP_LIBS, LLHTTP_SOURCE and the conditional LLHTTP_BUILD.
AC_DEFUN([NUC_CHECK_LLHTTP],
[AC_ARG_WITH([llhttp-source],
  [AS_HELP_STRING([--with-llhttp-source=DIR],
    [compile llhttp from DIR (api.c, http.c, llhttp.c; llhttp.h there or in
     DIR/../include/llhttp) @<:@the system's library, else /usr/share/llhttp@:>@])],
  [], [with_llhttp_source=])
LLHTTP_SOURCE=
AS_CASE([$with_llhttp_source],
  [yes], [LLHTTP_SOURCE=/usr/share/llhttp],
  [no|''], [PKG_CHECK_MODULES([LLHTTP], [libllhttp], [],
     [AS_IF([test "x$with_llhttp_source" = xno],
       [AC_MSG_ERROR([pkg-config does not find libllhttp])])
      LLHTTP_SOURCE=/usr/share/llhttp])],
  [LLHTTP_SOURCE=$with_llhttp_source])

nuc_llhttp_from="the system's library"
AS_IF([test -n "$LLHTTP_SOURCE"],
  [nuc_llhttp_from="compiled from $LLHTTP_SOURCE"
   AC_MSG_CHECKING([for llhttp.h])
   nuc_llhttp_include=
   for nuc_dir in "$LLHTTP_SOURCE" "$LLHTTP_SOURCE/../include/llhttp" \
       "$LLHTTP_SOURCE/../include"; do
     AS_IF([test -f "$nuc_dir/llhttp.h"], [nuc_llhttp_include=$nuc_dir; break])
   done
   AC_MSG_RESULT([${nuc_llhttp_include:-no}])
   for nuc_file in api.c http.c llhttp.c; do
     AS_IF([test -f "$LLHTTP_SOURCE/$nuc_file"], [], [nuc_llhttp_include=])
   done
   AS_IF([test -z "$nuc_llhttp_include"],
     [AC_MSG_ERROR([llhttp is needed: a library for pkg-config, or its sources in
       $LLHTTP_SOURCE (Debian: node-llhttp); see --with-llhttp-source])])
   LLHTTP_CFLAGS="-isystem $nuc_llhttp_include"
   LLHTTP_LIBS=])
AC_SUBST([LLHTTP_SOURCE])
AM_CONDITIONAL([LLHTTP_BUILD], [test -n "$LLHTTP_SOURCE"])
])
