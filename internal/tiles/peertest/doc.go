// Package peertest has no code: its tests show our logs to verifiers that nobody
// here wrote.
//
// It is a module of its own, so that what they depend on stays out of the
// product.
package peertest
