/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of engines. */
#include "cpu/engine.h"

#include <stddef.h>
#include <string.h>

static const struct engine *const engines[] = { &engine_interp, NULL };

const struct engine *const *engine_list(void)
{
	return engines;
}

const struct engine *engine_find(const char *name)
{
	unsigned i;

	if (!name)
		return engines[0];
	for (i = 0; engines[i]; i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	return NULL;
}
