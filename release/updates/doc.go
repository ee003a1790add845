// Package updates answers clusters that ask what they may update to. It speaks the
// update service's protocol, version 1 (Cincinnati), and what OKD's clusters ask of
// their release controller:
//
//	GET [/api/upgrades_info][/v1]/graph?channel=stable-1.36&arch=amd64&version=…&id=…
//
// An Edition is everything that one snapshot of the graph has to answer, made once and
// never changed. A Refresher makes the next edition while the last one is served, keeps
// it on disk, and stays with the last good one when its source fails. Handler answers
// from the current edition; Server listens, reports its health and ends without failing
// a request; WriteAPI lets those who bear a token accept, reject, cut and promote.
package updates
