/** An option whose value is JSON: nothing in it can become syntax of QEMU's. */
export const asJson = (option: string, value: Record<string, unknown>) => [option, JSON.stringify(value)]
