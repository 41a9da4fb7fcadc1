/** A name, or a tag, that nothing has had before. */
export function unique(): string {
  return `suite-${process.hrtime.bigint().toString(36)}`
}
