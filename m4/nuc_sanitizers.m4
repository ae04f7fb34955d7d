# NUC_SANITIZERS
# --enable-asan, --enable-tsan and --enable-fuzzers set SANITIZE_CFLAGS, which
# compiler and linker get, and FUZZ_LDFLAGS, for fuzz targets only.
AC_DEFUN([NUC_SANITIZERS],
[AC_ARG_ENABLE([asan],
  [AS_HELP_STRING([--enable-asan], [AddressSanitizer and UBSan])],
  [], [enable_asan=no])
AC_ARG_ENABLE([tsan],
  [AS_HELP_STRING([--enable-tsan], [ThreadSanitizer])],
  [], [enable_tsan=no])
AC_ARG_ENABLE([fuzzers],
  [AS_HELP_STRING([--enable-fuzzers], [link fuzz targets with libFuzzer (clang)])],
  [], [enable_fuzzers=no])
AS_IF([test "x$enable_asan" != xno && test "x$enable_tsan" != xno],
  [AC_MSG_ERROR([--enable-asan and --enable-tsan exclude each other])])

SANITIZE_CFLAGS=
FUZZ_LDFLAGS=
nuc_sanitizers=none
AS_IF([test "x$enable_asan" != xno],
  [nuc_sanitizers="address, undefined"
   NUC_REQUIRE_SANITIZER([-fsanitize=address,undefined])
   NUC_APPEND_FLAGS([SANITIZE_CFLAGS],
     [-fno-sanitize-recover=undefined -fno-omit-frame-pointer])])
AS_IF([test "x$enable_tsan" != xno],
  [nuc_sanitizers=thread
   NUC_REQUIRE_SANITIZER([-fsanitize=thread])])
AS_IF([test "x$enable_fuzzers" != xno],
  [NUC_REQUIRE_SANITIZER([-fsanitize=fuzzer-no-link])
   FUZZ_LDFLAGS=-fsanitize=fuzzer])
AS_IF([test -n "$SANITIZE_CFLAGS"], [HARDEN_CPPFLAGS=-U_FORTIFY_SOURCE])
AC_SUBST([SANITIZE_CFLAGS])
AC_SUBST([FUZZ_LDFLAGS])
AM_CONDITIONAL([FUZZERS], [test "x$enable_fuzzers" != xno])
])

# NUC_REQUIRE_SANITIZER(FLAG): adds FLAG to SANITIZE_CFLAGS, or ends configure.
AC_DEFUN([NUC_REQUIRE_SANITIZER],
[nuc_before=$SANITIZE_CFLAGS
NUC_APPEND_FLAGS([SANITIZE_CFLAGS], [$1])
AS_IF([test "x$SANITIZE_CFLAGS" = "x$nuc_before"],
  [AC_MSG_ERROR([$CC does not take $1])])
])
