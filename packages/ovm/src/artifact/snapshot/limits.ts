import schema from "@ovms/spec/schema/snapshot.v1.json" with { type: "json" }

/** Overlays that a snapshot's disk may have (OVMS-SNP-027). */
export const MOST_OVERLAYS: number = schema.properties.overlays.maxItems
