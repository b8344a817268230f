/* A disk that is farther away, and one that fails.
   Every flush takes CHANCERY_FLUSH_US microseconds more, as a volume over a network does: loaded with LD_PRELOAD by `cargo xtask bench`,
   into our process and into PostgreSQL's server, whoever of them writes.
   While the file CHANCERY_FLUSH_FAILS is there, every flush fails with EIO: loaded into our process by `crates/chancery/tests/it/disk.rs`,
   into PostgreSQL's by `cargo xtask kill --flushes`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long micros;
static const char *fails_while;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("CHANCERY_FLUSH_US");
    micros = text ? strtol(text, NULL, 10) : 0;
    /* Copied: PostgreSQL writes its title over the variables that it was given. */
    text = getenv("CHANCERY_FLUSH_FAILS");
    fails_while = text ? strdup(text) : NULL;
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
}

/* A signal does not shorten it. */
static int later(int done) {
    int error = errno;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += micros % 1000000 * 1000;
    end.tv_sec += micros / 1000000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (micros > 0 && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR) {
    }
    errno = error;
    return done;
}

static int flush(int (*really)(int), int file) {
    if (fails_while && access(fails_while, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return later(really(file));
}

int fsync(int file) { return flush(real_fsync, file); }
int fdatasync(int file) { return flush(real_fdatasync, file); }
