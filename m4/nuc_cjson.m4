# NUC_CHECK_CJSON: CJSON_CFLAGS, CJSON_LIBS; required.
# cJSON_ParseWithLength came with 1.7.13.
AC_DEFUN([NUC_CHECK_CJSON],
[PKG_CHECK_MODULES([CJSON], [libcjson >= 1.7.13], [],
  [AC_MSG_ERROR([cJSON 1.7.13 or later is needed (Debian: libcjson-dev)])])
])
