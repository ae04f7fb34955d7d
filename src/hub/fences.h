/*
 * hub/fences.h - the fence lines of each camera ("cercas"), in files that a detector reads
 *
 *     config_cercas_192_0_2_65.json
 *     {"lineas": [[x1, y1, x2, y2, nombre, color_index], ...], "camara": "192.0.2.65"}
 *
 * Coordinates are per cent of the picture, from the top left.
 */
#ifndef HUB_FENCES_H
#define HUB_FENCES_H

#include <sioc/bytes.h>

#include "base/buf.h"

struct hub;

#define HUB_FENCES_MAX   1000         /* lines of a camera */
#define HUB_FENCE_NAME   256          /* bytes of a line's name, as JSON */
#define HUB_FENCES_BYTES (512 * 1024) /* of a POST */
#define HUB_FENCES_FILE  (2 * HUB_FENCES_BYTES)

/*
 * Reads the body of a POST, `{"lineas":[{"x1",...},...]}`, and writes the file for it.
 * Returns the number of lines, or SIO_ERR_PARSE with a diag in Spanish, SIO_ERR_NOMEM.
 */
int hub_fences_write(struct sio_str body, struct sio_str ip, struct wbuf *file,
                     struct sio_diag *diag);

/*
 * Reads a file and calls fn for each line, whose texts are raw JSON; color is 0 to 6.
 * Returns their number, or SIO_ERR_PARSE: it is no such file.
 */
struct hub_fence {
    struct sio_str at[4]; /* x1, y1, x2, y2 */
    struct sio_str nombre;
    int64_t color_index; /* as it stands in the file */
    unsigned color;
};
int hub_fences_read(struct sio_str file,
                    void (*fn)(const struct hub_fence *f, void *user), void *user);

/* Routes /api/cercas.  SIO_OK or SIO_ERR_NOMEM. */
int hub_fences_route(struct hub *hub);

#endif
