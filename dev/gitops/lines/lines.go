// Package lines turns objects into verdicts, line by line.
package lines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// An object of Kubernetes is at most 1.5 MiB (etcd's limit on a request).
const longest = 2 << 20

// Verdict is what is said of one object. Error stands alone: where an object cannot be judged, nothing is said of it.
type Verdict struct {
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Each reads one JSON object a line and writes one verdict a line, in the same order.
func Each(in io.Reader, out io.Writer, judge func(map[string]any) (Verdict, error)) error {
	reading := bufio.NewScanner(in)
	reading.Buffer(make([]byte, 64<<10), longest)
	writing := json.NewEncoder(out)
	for number := 1; reading.Scan(); number++ {
		object := map[string]any{}
		// Not encoding/json: whole numbers have to be int64, as in whatever else reads objects of Kubernetes.
		if err := utiljson.Unmarshal(reading.Bytes(), &object); err != nil {
			return fmt.Errorf("line %d is no JSON object: %w", number, err)
		}
		verdict, err := judge(object)
		if err != nil {
			verdict = Verdict{Error: err.Error()}
		}
		if err := writing.Encode(verdict); err != nil {
			return err
		}
	}
	return reading.Err()
}
