// Judge reads requests, one JSON object a line, and answers each with one line: what
// published Go libraries make of a log's files and proofs. It shares no code with the
// engine. A verdict is "" for accepted, else the library's reason.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	f_proof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Kind      string   `json:"kind"`
	Dir       string   `json:"dir"`       // log: where checkpoint and tiles are
	Data      []byte   `json:"data"`      // proof: the file
	Origin    string   `json:"origin"`    // log, proof
	Key       string   `json:"key"`       // log, proof: the log's verifier key
	Witnesses []string `json:"witnesses"` // log, proof: all of them must have signed
	Index     uint64   `json:"index"`     // inclusion
	Old       uint64   `json:"old"`       // consistency
	Size      uint64   `json:"size"`      // inclusion, consistency
	Leaf      []byte   `json:"leaf"`      // inclusion, proof: a leaf hash
	OldRoot   []byte   `json:"old_root"`  // consistency
	Root      []byte   `json:"root"`      // inclusion, consistency
	Hashes    [][]byte `json:"hashes"`    // inclusion, consistency
	Of        string   `json:"of"`        // changes: what is changed
	Path      string   `json:"path"`      // changes: a file below dir
	Masks     []byte   `json:"masks"`     // changes: what each byte is changed by
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	decoder := json.NewDecoder(in)
	for {
		var r request
		if err := decoder.Decode(&r); err != nil {
			return
		}
		out.Encode(judge(r))
	}
}

func judge(r request) any {
	if r.Kind == "changes" {
		return changes(r)
	}
	verdicts := map[string]string{}
	say := func(who string, err error) {
		verdicts[who] = ""
		if err != nil {
			verdicts[who] = "refused: " + err.Error()
		}
	}
	switch r.Kind {
	case "log":
		say("log", checkLog(r))
	case "proof":
		say("proof", checkProof(r))
	case "inclusion":
		say("merkle", proof.VerifyInclusion(
			rfc6962.DefaultHasher, r.Index, r.Size, r.Leaf, r.Hashes, r.Root))
		say("tlog", tlogInclusion(r))
	case "consistency":
		say("merkle", proof.VerifyConsistency(
			rfc6962.DefaultHasher, r.Old, r.Size, r.Hashes, r.OldRoot, r.Root))
		say("tlog", tlogConsistency(r))
	default:
		say("judge", errors.New("unknown kind"))
	}
	return verdicts
}

func tlogInclusion(r request) error {
	hashes, err := toHashes(append([][]byte{r.Root, r.Leaf}, r.Hashes...))
	if err != nil {
		return err
	}
	return tlog.CheckRecord(hashes[2:], int64(r.Size), hashes[0], int64(r.Index), hashes[1])
}

func tlogConsistency(r request) error {
	hashes, err := toHashes(append([][]byte{r.Root, r.OldRoot}, r.Hashes...))
	if err != nil {
		return err
	}
	return tlog.CheckTree(hashes[2:], int64(r.Size), hashes[0], int64(r.Old), hashes[1])
}

func toHashes(slices [][]byte) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(slices))
	for i, s := range slices {
		if len(s) != tlog.HashSize {
			return nil, errors.New("a hash has the wrong length")
		}
		hashes[i] = tlog.Hash(s)
	}
	return hashes, nil
}

// openCheckpoint verifies the log's signature and every witness's cosignature.
func openCheckpoint(data []byte, r request) (*f_log.Checkpoint, error) {
	key, err := note.NewVerifier(r.Key)
	if err != nil {
		return nil, err
	}
	verifiers := []note.Verifier{key}
	for _, text := range r.Witnesses {
		witness, err := f_note.NewVerifierForCosignatureV1(text)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, witness)
	}
	checkpoint, rest, opened, err := f_log.ParseCheckpoint(
		data, r.Origin, key, verifiers[1:]...)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 || len(opened.UnverifiedSigs) > 0 || len(opened.Sigs) != len(verifiers) {
		return nil, errors.New("a signature is missing or a stranger's")
	}
	for _, s := range opened.Sigs {
		// The library takes base64 with stray bits for the same signature.
		blob, _ := base64.StdEncoding.DecodeString(s.Base64)
		if base64.StdEncoding.EncodeToString(blob) != s.Base64 {
			return nil, errors.New("base64 is not canonical")
		}
	}
	return checkpoint, nil
}

func checkProof(r request) error {
	var p f_proof.TLogProof
	if err := p.Unmarshal(r.Data); err != nil {
		return err
	}
	if !bytes.Equal(p.Marshal(), r.Data) {
		return errors.New("the library writes this proof otherwise")
	}
	checkpoint, err := openCheckpoint(p.Checkpoint, r)
	if err != nil {
		return err
	}
	var hashes tlog.RecordProof
	for _, h := range p.Hashes {
		hashes = append(hashes, tlog.Hash(h))
	}
	return tlog.CheckRecord(hashes, int64(checkpoint.Size), tlog.Hash(checkpoint.Hash),
		int64(p.Index), tlog.Hash(r.Leaf))
}

// files reads tiles where C2SP has them: x/mod's own path has the height in it. What
// is in changed is read instead of the file of that path.
type files struct {
	dir     string
	changed map[string][]byte
}

func (d files) read(path string) ([]byte, error) {
	if data, ok := d.changed[path]; ok {
		return data, nil
	}
	return os.ReadFile(filepath.Join(d.dir, path))
}

func (d files) Height() int { return 8 }

func (d files) SaveTiles([]tlog.Tile, [][]byte) {}

func (d files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := d.read(path)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// entries reads the bundles of the first n entries.
func (d files) entries(n int64) ([][]byte, error) {
	var all [][]byte
	for int64(len(all)) < n {
		tile := tlog.Tile{H: 8, L: -1, N: int64(len(all)) / 256, W: 256}
		if left := n - int64(len(all)); left < 256 {
			tile.W = int(left)
		}
		path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
		data, err := d.read(path)
		if err != nil {
			return nil, err
		}
		entries, err := split(data, tile.W)
		if err != nil {
			return nil, fmt.Errorf("%s %w", path, err)
		}
		all = append(all, entries...)
	}
	return all, nil
}

// split gives a bundle's entries, each behind its length.
func split(data []byte, width int) ([][]byte, error) {
	var all [][]byte
	for range width {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("is too short")
		}
		length := 2 + int(binary.BigEndian.Uint16(data))
		all, data = append(all, data[2:length]), data[length:]
	}
	if len(data) > 0 {
		return nil, errors.New("is too long")
	}
	return all, nil
}

// checkLog reads a whole log: every entry's hash through tiles that are authenticated
// against the checkpoint, and a proof of every entry and from every size.
func checkLog(r request) error {
	data, err := os.ReadFile(filepath.Join(r.Dir, "checkpoint"))
	if err != nil {
		return err
	}
	checkpoint, err := openCheckpoint(data, r)
	if err != nil {
		return err
	}
	size := int64(checkpoint.Size)
	tree := tlog.Tree{N: size, Hash: tlog.Hash(checkpoint.Hash)}
	log := files{dir: r.Dir}
	reader := tlog.TileHashReader(tree, log)
	entries, err := log.entries(size)
	if err != nil {
		return err
	}
	var indexes []int64
	for n := range size {
		indexes = append(indexes, tlog.StoredHashIndex(0, n))
	}
	leaves, err := reader.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for n := range size {
		if tlog.RecordHash(entries[n]) != leaves[n] {
			return fmt.Errorf("entry %d is not the tile's", n)
		}
	}
	return checkProofs(tree, leaves, reader)
}

func checkProofs(tree tlog.Tree, leaves []tlog.Hash, reader tlog.HashReader) error {
	for n := int64(0); n < tree.N; n += 1 + tree.N/7 {
		p, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(p, tree.N, tree.Hash, n, leaves[n]); err != nil {
			return err
		}
		growth, err := tlog.ProveTree(tree.N, n+1, reader)
		if err != nil {
			return err
		}
		old, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(growth, tree.N, tree.Hash, n+1, old); err != nil {
			return err
		}
	}
	return nil
}
