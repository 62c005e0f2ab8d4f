// Package proof, in a copy of transparency-dev/merkle: what its own tests ask of its
// verifiers, and what these answer, one JSON object a line in the file that VECTORS names.
package proof

import (
	"encoding/json"
	"os"
	"sync"

	"github.com/transparency-dev/merkle"
)

type vector struct {
	Kind        string
	First, Size uint64
	Hash, Root  []byte
	Proof       [][]byte
	Accepted    bool
}

var recording sync.Mutex

// VerifyInclusion is the library's, renamed in the copy, and recorded.
func VerifyInclusion(hasher merkle.LogHasher, index, size uint64, leafHash []byte, proof [][]byte, root []byte) error {
	err := verifyInclusion(hasher, index, size, leafHash, proof, root)
	record(vector{"inclusion", index, size, leafHash, root, proof, err == nil})
	return err
}

// VerifyConsistency is the library's, renamed in the copy, and recorded.
func VerifyConsistency(hasher merkle.LogHasher, size1, size2 uint64, proof [][]byte, root1, root2 []byte) error {
	err := verifyConsistency(hasher, size1, size2, proof, root1, root2)
	record(vector{"consistency", size1, size2, root1, root2, proof, err == nil})
	return err
}

func record(one vector) {
	recording.Lock()
	defer recording.Unlock()
	line, err := json.Marshal(one)
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(os.Getenv("VECTORS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}
