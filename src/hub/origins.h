/*
 * hub/origins.h - the pages that may use the hub, from the setting "origins"
 */
#ifndef HUB_ORIGINS_H
#define HUB_ORIGINS_H

#include <sioc/error.h>

/*
 * Cuts text at blanks.  *out ends with NULL and is the caller's to free, in one piece; NULL
 * where text is NULL: any page.  SIO_ERR_INVAL with diag filled: an item that is no
 * origin ("https://example.test", or with a port); SIO_ERR_NOMEM.
 */
int hub_origins_parse(const char *text, const char *const **out, struct sio_diag *diag);

#endif
