/** The first four bytes of a qcow2, `QFI\xfb`, most significant first. */
export const QCOW2_MAGIC = 0x514649fb
