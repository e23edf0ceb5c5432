/* The C contestant: what a careful C program does with liburing. */

#include <liburing.h>
#include <stdlib.h>

struct reads {
	int fd;
	/* One after the other in the file and in memory. */
	unsigned size;
	char *buffers;
};

struct io_uring *contestant_open(unsigned entries, unsigned flags, int registered)
{
	struct io_uring *ring = malloc(sizeof(*ring));

	if (!ring)
		return NULL;
	if (io_uring_queue_init(entries, ring, flags) < 0) {
		free(ring);
		return NULL;
	}
	if (registered)
		io_uring_register_ring_fd(ring);
	return ring;
}

void contestant_close(struct io_uring *ring)
{
	io_uring_queue_exit(ring);
	free(ring);
}

/* Submits and waits for what was pushed, then takes its completions and gives their room back. */
static inline int turn(struct io_uring *ring, unsigned batch)
{
	struct io_uring_cqe *cqe;
	unsigned head, taken = 0;
	int ret = io_uring_submit_and_wait(ring, batch);

	if (ret < 0)
		return ret;
	io_uring_for_each_cqe(ring, head, cqe) {
		if (cqe->res < 0)
			return cqe->res;
		taken++;
	}
	io_uring_cq_advance(ring, taken);
	return taken == batch ? 0 : -EIO;
}

int contestant_nops(struct io_uring *ring, unsigned batch, unsigned rounds)
{
	int ret = 0;

	while (rounds-- && !ret) {
		for (unsigned n = 0; n < batch; n++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

			if (!sqe)
				return -EAGAIN;
			io_uring_prep_nop(sqe);
			sqe->user_data = n;
		}
		ret = turn(ring, batch);
	}
	return ret;
}

int contestant_reads(struct io_uring *ring, unsigned batch, unsigned rounds, const struct reads *reads)
{
	int ret = 0;

	while (rounds-- && !ret) {
		for (unsigned n = 0; n < batch; n++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
			size_t at = (size_t)n * reads->size;

			if (!sqe)
				return -EAGAIN;
			io_uring_prep_read(sqe, reads->fd, reads->buffers + at, reads->size, at);
			sqe->user_data = n;
		}
		ret = turn(ring, batch);
	}
	return ret;
}
