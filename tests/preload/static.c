// SPDX-License-Identifier: GPL-2.0-or-later
/* Linked statically, for the test that such programs are refused. */
int main(void)
{
	return 0;
}
