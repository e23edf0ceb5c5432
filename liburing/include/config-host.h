/*
 * Included before every C file of the build, in place of the header that
 * upstream's configure script writes. CONFIG_NOLIBC stays undefined: liburing
 * is built on the C library of the target, as sanitizers and all other
 * architectures need it.
 */
#ifndef LIO_URING_CONFIG_HOST_H
#define LIO_URING_CONFIG_HOST_H

#endif
