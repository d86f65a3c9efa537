/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of engines. */
#include "cpu/engine.h"

#include <stddef.h>
#include <string.h>

/* The first is the default. */
static const struct engine *const engines[] = {
#ifdef WITH_UNICORN
	&engine_unicorn,
#endif
	&engine_interp,
#ifdef WITH_UNICORN
	&engine_unicorn_eager,
	&engine_unicorn_lockstep,
#endif
	NULL,
};

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
