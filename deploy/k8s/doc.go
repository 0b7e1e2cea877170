// Package k8s has no code: its tests check the manifests beside it. They build
// them with kustomize as a library, decode them with the types of the Kubernetes
// API, and compare them with what the binary says about itself.
//
// It is a module of its own, so that the product does not depend on these
// libraries.
package k8s
