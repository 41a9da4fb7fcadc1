/** A name as Docker means it, which leaves away its own registry, and the tag `latest`; equal names are one image's. */
export function dockerName(name: string): string {
  const short = name.replace(/^docker\.io\//, "").replace(/^library\//, "")
  return /[:@][^/]*$/.test(short) ? short : `${short}:latest`
}
