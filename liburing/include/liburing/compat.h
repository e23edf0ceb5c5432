/*
 * What liburing.h needs from the system's headers, found with __has_include
 * at compile time. Upstream's configure script compiles probe programs for
 * this, which a cross build cannot rely on.
 */
#ifndef LIO_URING_COMPAT_H
#define LIO_URING_COMPAT_H

#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Keeps io_uring.h from including the header a second time. */
#define UAPI_LINUX_IO_URING_H_SKIP_LINUX_TIME_TYPES_H 1

#if __has_include(<linux/time_types.h>)
#include <linux/time_types.h>
#else
struct __kernel_timespec {
	int64_t tv_sec;
	long long tv_nsec;
};
#endif

#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#else
struct open_how {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve;
};
#endif

/* The header that has it, linux/blkdev.h, is younger than most systems'. */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

#endif
