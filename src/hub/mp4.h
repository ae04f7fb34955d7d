/*
 * hub/mp4.h - how long a video is, from the head of an MP4 or QuickTime file
 * (ISO/IEC 14496-12, "Movie Header Box")
 */
#ifndef HUB_MP4_H
#define HUB_MP4_H

#include "http/file.h"

/* Seconds; below 0: the file does not say. */
double hub_mp4_duration(const struct http_file *f);

#endif
