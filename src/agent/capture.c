#include <config.h>

#include "agent/capture.h"

#include "base/clock.h"

const struct capture_ops *agent_capture_ops(enum agent_service service)
{
    switch (service) {
    case AGENT_SERVICE_TEST: return &agent_capture_test;
    case AGENT_SERVICE_HTTP: return &agent_capture_http;
    case AGENT_SERVICE_RTSP: return &agent_capture_rtsp;
    }
    return NULL;
}

bool agent_capture_over(const struct agent_capture *c)
{
    return atomic_load(c->cancel) || clock_mono_ns() >= c->deadline_ns;
}
