import type { Scene } from "./plan.ts"

const LINE = "console=ttyS0 tick_ms=50"

/** Boots a machine with these words on its command line; its console, once it counts. */
export async function said(
  { runtime, start }: Scene,
  manifest: string,
  args: string,
  overrides: object = {},
): Promise<{ readonly id: string; readonly text: string }> {
  const id = await start({ manifest, overrides: { ...overrides, args: `${LINE} ${args}`.trim() } })
  return { id, text: await runtime.says(id, /TICK 1\r?\n/) }
}
