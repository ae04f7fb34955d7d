/*
 * agent/overlay.h - date, time and a camera's name in the picture
 *
 * By FFmpeg's drawtext filter.  Its library brings a dozen others along, so it is loaded
 * when the first overlay is made, and an agent that draws nothing does not pay for it.
 */
#ifndef AGENT_OVERLAY_H
#define AGENT_OVERLAY_H

#include <stdint.h>

struct AVFrame;
struct agent_overlay;

/* NULL: the library, the filter or a font is missing; nothing is drawn then. */
struct agent_overlay *agent_overlay_new(const char *name);
void agent_overlay_free(struct agent_overlay *o); /* NULL is allowed */

/*
 * Returns the frame, scaled to at most max_width, with the text; frame is moved.  What
 * cannot be drawn on comes back as it was; NULL: out of memory.
 */
struct AVFrame *agent_overlay_draw(struct agent_overlay *o, struct AVFrame *frame,
                                   uint32_t max_width);

#endif
