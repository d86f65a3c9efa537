/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set is a balanced tree of ranges: the heights of two siblings differ by at most SLANT. Nothing
 * in a tree changes once it is made, so sets that are nearly the same have most nodes in common.
 */
#include "mmu/attributes.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* With less, trees are rebuilt for each change; with more they grow higher. */
#define SLANT 2

struct page_set {
	atomic_uint references; /* of parents and of who holds the set */
	unsigned height;
	struct page_range range;
	struct page_set *left, *right; /* ranges before and behind */
};

struct page_set *page_set_get(struct page_set *set)
{
	if (set)
		atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void page_set_put(struct page_set *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
		return;
	page_set_put(set->left);
	page_set_put(set->right);
	free(set);
}

/* ---- Looking -------------------------------------------------------------------------------- */

const struct page_range *page_set_next(const struct page_set *set, uint64_t page)
{
	const struct page_range *found = NULL;

	while (set) {
		if (set->range.end > page) {
			found = &set->range;
			set = set->left;
		} else {
			set = set->right;
		}
	}
	return found;
}

bool page_set_has(const struct page_set *set, uint64_t page)
{
	const struct page_range *range = page_set_next(set, page);

	return range && range->first <= page;
}

bool page_set_is(const struct page_set *set, uint64_t first, uint64_t end, bool present)
{
	const struct page_range *range = page_set_next(set, first);

	if (!range)
		return !present;
	return present ? range->first <= first && range->end >= end : range->first >= end;
}

/* ---- Making trees --------------------------------------------------------------------------- */

/*
 * The functions below take over the references to the trees that they are given. Out of memory they
 * note that and lose ranges: the result is a tree all the same, to be thrown away in the end.
 */
struct maker {
	bool failed;
};

static unsigned height(const struct page_set *set)
{
	return set ? set->height : 0;
}

static struct page_set *make(struct maker *maker, struct page_set *left, struct page_range range,
			     struct page_set *right)
{
	struct page_set *set = malloc(sizeof(*set));

	if (!set) {
		maker->failed = true;
		page_set_put(left);
		page_set_put(right);
		return NULL;
	}
	atomic_init(&set->references, 1);
	set->height = (height(left) > height(right) ? height(left) : height(right)) + 1;
	set->range = range;
	set->left = left;
	set->right = right;
	return set;
}

/* What @set, not empty, consists of. */
struct parts {
	struct page_set *left, *right;
	struct page_range range;
};

static struct parts take_apart(struct page_set *set)
{
	struct parts parts = { page_set_get(set->left), page_set_get(set->right), set->range };

	page_set_put(set);
	return parts;
}

/* make() for sides whose heights may differ by one more than they should. */
static struct page_set *make_even(struct maker *maker, struct page_set *left,
				  struct page_range range, struct page_set *right)
{
	struct parts side, inner;

	if (height(left) > height(right) + SLANT) {
		side = take_apart(left);
		if (height(side.left) >= height(side.right))
			return make(maker, side.left, side.range,
				    make(maker, side.right, range, right));
		inner = take_apart(side.right);
		return make(maker, make(maker, side.left, side.range, inner.left), inner.range,
			    make(maker, inner.right, range, right));
	}
	if (height(right) > height(left) + SLANT) {
		side = take_apart(right);
		if (height(side.right) >= height(side.left))
			return make(maker, make(maker, left, range, side.left), side.range,
				    side.right);
		inner = take_apart(side.left);
		return make(maker, make(maker, left, range, inner.left), inner.range,
			    make(maker, inner.right, side.range, side.right));
	}
	return make(maker, left, range, right);
}

/* Of sides of any heights: the lower one goes where its height fits into the higher one. */
static struct page_set *join(struct maker *maker, struct page_set *left, struct page_range range,
			     struct page_set *right)
{
	struct parts side;

	if (height(left) > height(right) + SLANT) {
		side = take_apart(left);
		return make_even(maker, side.left, side.range,
				 join(maker, side.right, range, right));
	}
	if (height(right) > height(left) + SLANT) {
		side = take_apart(right);
		return make_even(maker, join(maker, left, range, side.left), side.range,
				 side.right);
	}
	return make(maker, left, range, right);
}

/* The ranges that begin before @page. */
static struct page_set *before(struct maker *maker, const struct page_set *set, uint64_t page)
{
	if (!set)
		return NULL;
	if (set->range.first >= page)
		return before(maker, set->left, page);
	return join(maker, page_set_get(set->left), set->range, before(maker, set->right, page));
}

/* Those that begin at @page or behind it. */
static struct page_set *from(struct maker *maker, const struct page_set *set, uint64_t page)
{
	if (!set)
		return NULL;
	if (set->range.first < page)
		return from(maker, set->right, page);
	return join(maker, from(maker, set->left, page), set->range, page_set_get(set->right));
}

static struct page_set *without_first(struct maker *maker, struct page_set *set)
{
	struct parts parts = take_apart(set);

	if (!parts.left)
		return parts.right;
	return make_even(maker, without_first(maker, parts.left), parts.range, parts.right);
}

static struct page_set *concatenate(struct maker *maker, struct page_set *left,
				    struct page_set *right)
{
	struct page_range range;

	if (!left || !right)
		return left ? left : right;
	range = *page_set_next(right, 0);
	return join(maker, left, range, without_first(maker, right));
}

/* ---- Changing ------------------------------------------------------------------------------- */

static struct page_set *with(struct maker *maker, const struct page_set *old,
			     struct page_range range)
{
	const struct page_range *left = page_set_next(old, range.first ? range.first - 1 : 0);
	const struct page_range *right = page_set_next(old, range.end);

	/* What overlaps or touches becomes part of it. */
	if (left && left->first < range.first)
		range.first = left->first;
	if (right && right->first <= range.end)
		range.end = right->end;
	return join(maker, before(maker, old, range.first), range, from(maker, old, range.end));
}

static struct page_set *without(struct maker *maker, const struct page_set *old, uint64_t first,
				uint64_t end)
{
	const struct page_range *cut = page_set_next(old, first), *last = page_set_next(old, end);
	struct page_set *left = before(maker, old, first), *right = from(maker, old, end);

	/* What reaches over an end keeps what is outside. */
	if (cut && cut->first < first) {
		page_set_put(left);
		left = join(maker, before(maker, old, cut->first),
			    (struct page_range){ cut->first, first }, NULL);
	}
	if (last && last->first < end)
		right = join(maker, NULL, (struct page_range){ end, last->end }, right);
	return concatenate(maker, left, right);
}

int page_set_change(struct page_set *old, uint64_t first, uint64_t end, bool present,
		    struct page_set **result)
{
	struct maker maker = { false };
	struct page_set *set = present ? with(&maker, old, (struct page_range){ first, end }) :
					 without(&maker, old, first, end);

	if (maker.failed) {
		page_set_put(set);
		return -ENOMEM;
	}
	page_set_put(old);
	*result = set;
	return 0;
}
