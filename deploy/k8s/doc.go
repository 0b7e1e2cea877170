// Package k8s has no code: its tests check the manifests beside it, which are
// put together with kustomize as a library, decoded with the types of the
// Kubernetes API, and compared with what the binary says of itself.
//
// It is a module of its own, so that these libraries are none of the product's.
package k8s
