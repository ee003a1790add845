// Package pages shows a catalog to people: streams and channels, payloads and why each
// was accepted or not, what differs between two, which upgrades were tried and which
// are offered. Pages are HTML made on the server; they need no script, no picture and
// no font from elsewhere, and their Content-Security-Policy lets none in.
package pages
