/*
 * base/camera_list.h - the comma list of cameras (CAMARAS_IPS)
 *
 * Hub and agent read the same list.  An entry is an address (`192.0.2.7`), or
 * `ID=URL`, where ID is what goes on the wire as "ip" and URL is for the agent
 * alone.  `test://NAME` is short for `NAME=test://`, `test://` for `test=test://`.
 */
#ifndef BASE_CAMERA_LIST_H
#define BASE_CAMERA_LIST_H

#include <stdbool.h>

#include <sioc/bytes.h>

#define CAMERA_ID_MAX 128 /* bytes */

/* Slices of the list; a URL may hold a password. */
struct camera_entry {
    struct sio_str id;
    struct sio_str url; /* len 0 for an address */
};

/* True for 1 to CAMERA_ID_MAX of letters, digits and ".:_-", one of them a letter or digit. */
bool camera_id_check(struct sio_str id);

/*
 * Cuts the next entry off *rest (start with the whole list); blanks are trimmed and
 * empty entries skipped.  Returns 1 with *out filled, 0 at the end, or SIO_ERR_PARSE
 * with a diag that never shows a URL (the rest can still be walked).
 */
int camera_list_next(struct sio_str *rest, struct camera_entry *out,
                     struct sio_diag *diag);

#endif
