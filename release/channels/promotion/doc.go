// Package promotion decides which releases enter which channels. It is one pure function:
// from what channels hold, what is known about the releases, the time and a policy it
// makes a plan, which says for every release that a channel might take in whether it goes
// in, or which rules hold it and until when. It neither reads a clock nor a registry, so
// that the same plan comes out in a pull request's check and in a service.
package promotion
