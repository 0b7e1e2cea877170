// Package peertest has no code: its tests verify our logs with independent
// implementations.
//
// It is a module of its own, so that the dependencies of these implementations
// stay out of the product.
package peertest
