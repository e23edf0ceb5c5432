/* The version of the pinned release; tests/liburing.rs compares it with the pin. */
#ifndef LIO_URING_VERSION_H
#define LIO_URING_VERSION_H

#define IO_URING_VERSION_MAJOR 2
#define IO_URING_VERSION_MINOR 15

#endif
