#include <config.h>

#include "agent/overlay.h"

#include <dlfcn.h>
#include <stdio.h>

#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>

#include "base/list.h"
#include "base/mem.h"

#define NUMBER_OF_(x) #x
#define NUMBER_OF(x)  NUMBER_OF_(x)
#define LIBRARY       "libavfilter.so." NUMBER_OF(LIBAVFILTER_VERSION_MAJOR)
#define NAME_SIZE     80

/* What is used of the library. */
struct filter_api {
    __typeof__(&avfilter_graph_alloc) graph_alloc;
    __typeof__(&avfilter_graph_alloc_filter) graph_alloc_filter;
    __typeof__(&avfilter_graph_config) graph_config;
    __typeof__(&avfilter_graph_free) graph_free;
    __typeof__(&avfilter_get_by_name) get_by_name;
    __typeof__(&avfilter_init_dict) init_dict;
    __typeof__(&avfilter_link) link;
    __typeof__(&av_buffersrc_add_frame) add_frame;
    __typeof__(&av_buffersink_get_frame) get_frame;
};

struct agent_overlay {
    void *library;
    struct filter_api api;
    char name[NAME_SIZE];

    /* The graph, for pictures of one shape. */
    AVFilterGraph *graph;
    AVFilterContext *source;
    AVFilterContext *sink;
    int width;
    int height;
    int format;
    uint32_t max_width;
};

static bool load(struct agent_overlay *o)
{
    const struct {
        void *function; /* where its address goes */
        const char *name;
    } names[] = {
        {&o->api.graph_alloc, "avfilter_graph_alloc"},
        {&o->api.graph_alloc_filter, "avfilter_graph_alloc_filter"},
        {&o->api.graph_config, "avfilter_graph_config"},
        {&o->api.graph_free, "avfilter_graph_free"},
        {&o->api.get_by_name, "avfilter_get_by_name"},
        {&o->api.init_dict, "avfilter_init_dict"},
        {&o->api.link, "avfilter_link"},
        {&o->api.add_frame, "av_buffersrc_add_frame"},
        {&o->api.get_frame, "av_buffersink_get_frame"},
    };

    o->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!o->library)
        return false;
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        void *address = dlsym(o->library, names[i].name);

        if (!address)
            return false;
        memcpy(names[i].function, &address, sizeof(address));
    }
    return true;
}

/* A filter with its options; NULL where it is not to be had. */
static AVFilterContext *add_filter(struct agent_overlay *o, const char *filter,
                                   const char *const (*options)[2], size_t n)
{
    const AVFilter *f = o->api.get_by_name(filter);
    AVFilterContext *ctx = f ? o->api.graph_alloc_filter(o->graph, f, NULL) : NULL;
    AVDictionary *dict = NULL;

    for (size_t i = 0; i < n; i++)
        av_dict_set(&dict, options[i][0], options[i][1], 0);
    if (ctx && o->api.init_dict(ctx, &dict) < 0)
        ctx = NULL;
    av_dict_free(&dict);
    return ctx;
}

static AVFilterContext *add_text(struct agent_overlay *o, const char *text,
                                 const char *color, const char *y)
{
    const char *const options[][2] = {
        {"text", text}, {"fontcolor", color}, {"fontsize", "24"}, {"x", "10"},
        {"y", y},       {"font", "Sans"},
    };

    return add_filter(o, "drawtext", options, N_ELEMENTS(options));
}

static AVFilterContext *add_source(struct agent_overlay *o, const AVFrame *frame)
{
    char width[16], height[16], format[16];
    const char *const options[][2] = {
        {"width", width},        {"height", height},      {"pix_fmt", format},
        {"time_base", "1/1000"}, {"pixel_aspect", "1/1"},
    };

    snprintf(width, sizeof(width), "%d", frame->width);
    snprintf(height, sizeof(height), "%d", frame->height);
    snprintf(format, sizeof(format), "%d", frame->format);
    return add_filter(o, "buffer", options, N_ELEMENTS(options));
}

static AVFilterContext *add_scale(struct agent_overlay *o, uint32_t max_width)
{
    char width[32];
    const char *const options[][2] = {{"w", width}, {"h", "-2"}, {"flags", "area"}};

    snprintf(width, sizeof(width), "min(iw,%u)", (unsigned)max_width);
    return add_filter(o, "scale", options, N_ELEMENTS(options));
}

static void drop_graph(struct agent_overlay *o)
{
    if (o->graph)
        o->api.graph_free(&o->graph);
    o->graph = NULL;
}

static bool make_graph(struct agent_overlay *o, const AVFrame *frame,
                       uint32_t max_width)
{
    AVFilterContext *chain[5];

    drop_graph(o);
    o->width = frame->width;
    o->height = frame->height;
    o->format = frame->format;
    o->max_width = max_width;
    o->graph = o->api.graph_alloc();
    if (!o->graph)
        return false;
    o->graph->nb_threads = 1;
    chain[0] = o->source = add_source(o, frame);
    chain[1] = add_scale(o, max_width);
    chain[2] = add_text(o, "%{localtime}", "green", "30");
    chain[3] = add_text(o, o->name, "yellow", "60");
    chain[4] = o->sink = add_filter(o, "buffersink", NULL, 0);
    for (size_t i = 0; i < N_ELEMENTS(chain); i++)
        if (!chain[i] || (i > 0 && o->api.link(chain[i - 1], 0, chain[i], 0) < 0))
            goto fail;
    if (o->api.graph_config(o->graph, NULL) >= 0)
        return true;
fail:
    drop_graph(o);
    return false;
}

struct agent_overlay *agent_overlay_new(const char *name)
{
    struct agent_overlay *o = mem_new(struct agent_overlay);
    AVFrame probe = {.width = 64, .height = 64, .format = AV_PIX_FMT_YUV420P};

    if (!o)
        return NULL;
    snprintf(o->name, sizeof(o->name), "IP: %s", name);
    if (load(o) && make_graph(o, &probe, 64))
        return o;
    agent_overlay_free(o);
    return NULL;
}

AVFrame *agent_overlay_draw(struct agent_overlay *o, AVFrame *frame, uint32_t max_width)
{
    bool same = o->graph && o->width == frame->width && o->height == frame->height &&
                o->format == frame->format && o->max_width == max_width;
    AVFrame *out;

    if (!same && !make_graph(o, frame, max_width))
        return frame;
    out = av_frame_alloc();
    if (!out || o->api.add_frame(o->source, frame) < 0 ||
        o->api.get_frame(o->sink, out) < 0) {
        drop_graph(o);
        av_frame_free(&out);
    }
    av_frame_free(&frame);
    return out;
}

void agent_overlay_free(struct agent_overlay *o)
{
    if (!o)
        return;
    drop_graph(o);
    if (o->library)
        dlclose(o->library);
    mem_free(o);
}
