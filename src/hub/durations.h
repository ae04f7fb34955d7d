/*
 * hub/durations.h - how long the videos of a folder are, each opened once
 *
 * What a file's head said holds while its inode, size and time are the same.  A file that
 * was written in the last seconds may change and look the same: it is opened each time.
 * What is kept is bounded by what the folder holds, and by HUB_DURATIONS_MAX.
 */
#ifndef HUB_DURATIONS_H
#define HUB_DURATIONS_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/map.h"

/* Files that are remembered; of more, the rest is opened for each list. */
#define HUB_DURATIONS_MAX 10000

struct hub_durations {
    struct map by_name;
    uint32_t round;  /* of the list that is being read */
    uint32_t n_seen; /* files that are known and that it has named */
    int64_t now_ns;  /* when it began, by the wall clock */
};

void hub_durations_init(struct hub_durations *d);
void hub_durations_fini(struct hub_durations *d);

/* A list is read between these two; what it does not name is forgotten. */
void hub_durations_begin(struct hub_durations *d, int64_t now_us);
void hub_durations_end(struct hub_durations *d);

/*
 * Seconds that the video says it lasts; below 0: it does not say, or cannot be opened.
 * st is that of name in the folder of dir_fd.
 */
double hub_durations_get(struct hub_durations *d, int dir_fd, const char *name,
                         const struct stat *st);

#endif
