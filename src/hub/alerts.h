/*
 * hub/alerts.h - the pictures and videos of intruders, which other programs leave in
 * folders
 *
 * What a file is about stands in its name: ALERTA_LINEA_1_20260101_123456.jpg.
 */
#ifndef HUB_ALERTS_H
#define HUB_ALERTS_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "hub/durations.h"
#include "hub/folder.h"

struct hub;

enum hub_alert_kind { HUB_ALERT_PICTURE, HUB_ALERT_VIDEO };

#define HUB_ALERT_UNKNOWN "Desconocida"

/* What a name says; fields of another form are HUB_ALERT_UNKNOWN. */
struct hub_alert_name {
    char fecha[16]; /* "2026-01-01" */
    char hora[16];  /* "12:34:56" */
    struct sio_str linea;
};
void hub_alert_name_parse(struct sio_str file, struct hub_alert_name *out);

/* The media type that a name's suffix stands for, or NULL: not of this kind. */
const char *hub_alert_type(enum hub_alert_kind kind, struct sio_str file);

struct hub_alerts {
    struct hub_folder pictures[2]; /* searched in this order */
    struct hub_folder videos;
    struct hub_durations durations; /* of the videos */
    struct hub_alert_place {
        struct hub *hub;
        enum hub_alert_kind kind;
    } places[2];
};

void hub_alerts_init(struct hub_alerts *a);
void hub_alerts_fini(struct hub_alerts *a); /* the folders too */

/* Routes /api/intrusos and /api/videos.  SIO_OK or SIO_ERR_NOMEM. */
int hub_alerts_route(struct hub *hub);

#endif
