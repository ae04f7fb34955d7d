# NUC_CHECK_WSLAY
# WSLAY_LIBS; required.  Version 1.1.1 has no pkg-config file and a wrong
# WSLAY_VERSION, so header and library are tried.
AC_DEFUN([NUC_CHECK_WSLAY],
[WSLAY_LIBS=
AC_CHECK_HEADER([wslay/wslay.h],
  [nuc_save_LIBS=$LIBS
   AC_SEARCH_LIBS([wslay_event_config_set_no_buffering], [wslay],
     [AS_CASE([$ac_cv_search_wslay_event_config_set_no_buffering],
       ["none required"], [],
       [WSLAY_LIBS=$ac_cv_search_wslay_event_config_set_no_buffering])],
     [AC_MSG_ERROR([libwslay does not link (Debian: libwslay-dev)])])
   LIBS=$nuc_save_LIBS],
  [AC_MSG_ERROR([wslay/wslay.h is needed (Debian: libwslay-dev)])])
AC_SUBST([WSLAY_LIBS])
])
