// kstatus says how far objects are, as sigs.k8s.io/cli-utils computes it for Flux, kpt and others: one JSON object a line
// from standard input, one line of JSON each.
package main

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"schema-operator.dev/gitops/lines"
)

func main() {
	if err := lines.Each(os.Stdin, os.Stdout, compute); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compute(object map[string]any) (lines.Verdict, error) {
	found, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return lines.Verdict{}, err
	}
	return lines.Verdict{Status: found.Status.String(), Message: found.Message}, nil
}
