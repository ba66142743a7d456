/* paced: open-loop HTTP/1.1 load at a constant mean rate, latency counted from when a request was due.
 *
 * usage: paced HOST PORT REQUEST_FILE RATE_PER_S CONNECTIONS SECONDS
 *
 * Arrivals are a Poisson process, so a stall is not hidden by a client that waits with it: a request that finds every
 * connection busy queues, and its wait counts. REQUEST_FILE holds the whole request, head and body. The first tenth
 * of the time is warm-up and not counted. Prints one JSON line; exits 0 unless it could not run at all.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, QUEUE = 1 << 16 };

typedef struct {
    int fd, busy, length;
    int64_t due;
    char *buffer;
} Connection;

static struct sockaddr_in address;
static char *request;
static long request_length;
static Connection *connections;
static int count, *idle, idle_count, epoll_fd;
static int64_t queue[QUEUE];
static unsigned head, tail;
static int64_t *samples;
static long sample_count, sample_limit, sent, answered, failures, dropped, reconnects;
static int64_t counted_from;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "paced: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void open_connection(int i) {
    Connection *c = &connections[i];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
    c->busy = c->length = 0;
    idle[idle_count++] = i;
}

static void reopen(int i) {
    Connection *c = &connections[i];
    if (c->busy) {
        failures++;
    } else {
        for (int k = 0; k < idle_count; k++)
            if (idle[k] == i) { idle[k] = idle[--idle_count]; break; }
    }
    close(c->fd);
    reconnects++;
    open_connection(i);
}

/* Length of a complete answer in the buffer, 0 when more must come, -1 when it is not HTTP/1.1 with a known end. */
static int complete(Connection *c) {
    c->buffer[c->length] = 0;
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return 0;
    *end = 0;
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    char *chunked = strcasestr(c->buffer, "\r\ntransfer-encoding:");
    int head_length = (int)(end - c->buffer) + 4;
    int total = length ? head_length + atoi(length + 17) : -1;
    *end = '\r';
    if (total >= 0) return c->length >= total ? total : 0;
    if (!chunked) return -1;
    return c->length >= head_length + 5 && memcmp(c->buffer + c->length - 5, "0\r\n\r\n", 5) == 0 ? c->length : 0;
}

static void send_due(void) {
    while (head != tail && idle_count > 0) {
        int i = idle[--idle_count];
        Connection *c = &connections[i];
        c->due = queue[head++ % QUEUE];
        c->busy = 1;
        c->length = 0;
        sent++;
        if (write(c->fd, request, (size_t)request_length) != request_length) reopen(i);
    }
}

static void receive(int i) {
    Connection *c = &connections[i];
    ssize_t n = read(c->fd, c->buffer + c->length, (size_t)(BUFFER - 1 - c->length));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || !c->busy) { reopen(i); return; }
    c->length += (int)n;
    int done = complete(c);
    if (done == 0 && c->length < BUFFER - 1) return;
    if (done <= 0) { reopen(i); return; }
    if (memcmp(c->buffer, "HTTP/1.1 200", 12) != 0) {
        failures++;
    } else {
        answered++;
        if (c->due >= counted_from && sample_count < sample_limit) samples[sample_count++] = now_ns() - c->due;
    }
    c->busy = 0;
    idle[idle_count++] = i;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(double p) {
    if (sample_count == 0) return -1;
    long i = (long)(p * (double)(sample_count - 1) + 0.5);
    return (double)samples[i] / 1000.0;
}

static void load(double rate, double seconds) {
    struct epoll_event events[256];
    int64_t start = now_ns(), finish = start + (int64_t)(seconds * 1e9), next = start;
    counted_from = start + (finish - start) / 10;
    for (;;) {
        int64_t now = now_ns();
        while (next <= now && next < finish) {
            if (tail - head < QUEUE) queue[tail++ % QUEUE] = next; else dropped++;
            next += (int64_t)(-log(1.0 - drand48()) / rate * 1e9);
        }
        send_due();
        int waiting = head != tail || idle_count < count;
        if (now >= finish && (!waiting || now >= finish + 5000000000LL)) return;
        int64_t pause = next < finish ? next - now_ns() : 5000000;
        if (pause < 0) pause = 0;
        struct timespec timeout = {pause / 1000000000LL, pause % 1000000000LL};
        int n = (int)syscall(SYS_epoll_pwait2, epoll_fd, events, 256, &timeout, NULL, 0);
        for (int k = 0; k < n; k++) receive((int)events[k].data.u32);
    }
}

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "usage: paced HOST PORT REQUEST_FILE RATE_PER_S CONNECTIONS SECONDS\n"); return 2; }
    double rate = atof(argv[4]), seconds = atof(argv[6]);
    count = atoi(argv[5]);
    FILE *file = fopen(argv[3], "rb");
    if (!file) die(argv[3]);
    fseek(file, 0, SEEK_END);
    request_length = ftell(file);
    rewind(file);
    request = malloc((size_t)request_length);
    if (fread(request, 1, (size_t)request_length, file) != (size_t)request_length) die("read");
    fclose(file);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    prctl(PR_SET_TIMERSLACK, 1UL);
    srand48(1);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)count, sizeof *connections);
    idle = calloc((size_t)count, sizeof *idle);
    sample_limit = (long)(rate * seconds * 1.5) + 1000;
    samples = malloc((size_t)sample_limit * sizeof *samples);
    for (int i = 0; i < count; i++) {
        connections[i].buffer = malloc(BUFFER);
        open_connection(i);
    }
    int64_t begin = now_ns();
    load(rate, seconds);
    double took = (double)(now_ns() - begin) / 1e9;
    qsort(samples, (size_t)sample_count, sizeof *samples, by_size);
    double sum = 0;
    for (long i = 0; i < sample_count; i++) sum += (double)samples[i];
    printf("{\"rate\":%.1f,\"sent\":%ld,\"answered\":%ld,\"failures\":%ld,\"dropped\":%ld,\"reconnects\":%ld,"
           "\"seconds\":%.3f,\"counted\":%ld,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f,\"max_us\":%.1f}\n",
           rate, sent, answered, failures, dropped, reconnects, took, sample_count,
           sample_count ? sum / (double)sample_count / 1000.0 : -1.0, percentile_us(0.5), percentile_us(0.9),
           percentile_us(0.99), percentile_us(0.999), percentile_us(1.0));
    return 0;
}
