import type { Repository } from "../registry/content.ts"

const INDEX = "application/vnd.oci.image.index.v1+json"

/** The tag that stands for a list of referrers where there is no API. */
export function fallbackTag(subject: string): string {
  return subject.replace(":", "-")
}

/** Writes the list of `subject` under that tag, as it is by now. */
export function writeFallback(repository: Repository, subject: string): void {
  const index = { schemaVersion: 2, mediaType: INDEX, manifests: repository.referrers(subject) }
  repository.put(Buffer.from(JSON.stringify(index)), INDEX, fallbackTag(subject))
}
