# The hub in a container:
#
#   docker build -t nuchub .
#   docker run -p 8080:8080 -v nuchub:/var/lib/nuchub nuchub
#
# It listens on PORT (8080) without TLS, as behind a platform's proxy.

FROM debian:12-slim AS build
RUN apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        build-essential autoconf automake libtool pkg-config libssl-dev node-llhttp \
        libwslay-dev zlib1g-dev libcrypt-dev libcjson-dev libhiredis-dev
WORKDIR /src
COPY . .
RUN autoreconf -fi && mkdir /build && cd /build && \
    /src/configure --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
        --disable-agent --disable-static && \
    make -j"$(nproc)" nuchubd nuchub-emit && \
    install -s -D nuchubd /out/usr/sbin/nuchubd && \
    install -s -D nuchub-emit /out/usr/bin/nuchub-emit

FROM debian:12-slim
RUN apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        tzdata ca-certificates libssl3 libwslay1 zlib1g libcrypt1 libcjson1 \
        libhiredis0.14 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --home-dir /var/lib/nuchub --shell /usr/sbin/nologin nuchub && \
    install -d -o nuchub -g nuchub -m 750 /var/lib/nuchub
COPY --from=build /out/ /
USER nuchub
WORKDIR /var/lib/nuchub
VOLUME /var/lib/nuchub
ENV PORT=8080
EXPOSE 8080
HEALTHCHECK --timeout=3s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && \
    printf 'GET /api/status HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q online <&3"]
ENTRYPOINT ["/usr/sbin/nuchubd", "--state-dir", "/var/lib/nuchub"]
