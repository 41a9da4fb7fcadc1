/** What is looked at hardly ever changes: so often is looked. */
const LOOK_MS = 2000

/** By one timer: two hundred cost more than what they look at. */
const looks = new Set<() => boolean>()
let timer: NodeJS.Timeout | undefined

/** Calls `look` every two seconds as long as it gives true. Does not keep this process alive. */
export function lookOften(look: () => boolean): void {
  looks.add(look)
  timer ??= setInterval(lookAtAll, LOOK_MS).unref()
}

function lookAtAll(): void {
  for (const look of looks) if (!look()) looks.delete(look)
  if (looks.size > 0) return
  clearInterval(timer)
  timer = undefined
}
