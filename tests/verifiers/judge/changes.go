package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// outcome says what was made of something with one of its bytes changed: how many
// changes were tried, and which were accepted, by their place and mask. Good is "" when
// it was accepted unchanged.
type outcome struct {
	Good     string  `json:"good"`
	Tried    int     `json:"tried"`
	Accepted [][]int `json:"accepted"`
}

// changes changes every byte by every mask, one at a time.
func changes(r request) outcome {
	data, check, err := checker(r)
	if err == nil {
		err = check(data)
	}
	if err != nil {
		return outcome{Good: "refused: " + err.Error()}
	}
	found := outcome{Accepted: [][]int{}}
	changed := bytes.Clone(data)
	for at := range changed {
		for _, mask := range r.Masks {
			changed[at] ^= mask
			found.Tried++
			if check(changed) == nil {
				found.Accepted = append(found.Accepted, []int{at, int(mask)})
			}
			changed[at] ^= mask
		}
	}
	return found
}

// checker gives the bytes that are changed, and who looks at them.
func checker(r request) ([]byte, func([]byte) error, error) {
	switch r.Of {
	case "checkpoint":
		return r.Data, func(data []byte) error {
			_, err := openCheckpoint(data, r)
			return err
		}, nil
	case "proof":
		return r.Data, func(data []byte) error {
			asked := r
			asked.Data = data
			return checkProof(asked)
		}, nil
	case "inclusion":
		return r.Data, func(data []byte) error {
			asked := r
			asked.Root, asked.Leaf, asked.Hashes = hashesIn(data)
			return tlogInclusion(asked)
		}, nil
	case "consistency":
		return r.Data, func(data []byte) error {
			asked := r
			asked.Root, asked.OldRoot, asked.Hashes = hashesIn(data)
			return tlogConsistency(asked)
		}, nil
	case "file":
		return fileChecker(r)
	}
	return nil, nil, errors.New("unknown kind of change")
}

// hashesIn cuts what is changed of a proof: root, leaf or old root, and its hashes.
func hashesIn(data []byte) ([]byte, []byte, [][]byte) {
	var all [][]byte
	for len(data) > 0 {
		all, data = append(all, data[:tlog.HashSize]), data[tlog.HashSize:]
	}
	return all[0], all[1], all[2:]
}

// fileChecker looks at a tile, or at an entry bundle, of the log in a folder, whose
// checkpoint and other files are as they were.
func fileChecker(r request) ([]byte, func([]byte) error, error) {
	note, err := os.ReadFile(filepath.Join(r.Dir, "checkpoint"))
	if err != nil {
		return nil, nil, err
	}
	checkpoint, err := openCheckpoint(note, r)
	if err != nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(filepath.Join(r.Dir, r.Path))
	if err != nil {
		return nil, nil, err
	}
	tree := tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Hash)}
	name := strings.Replace(r.Path, "tile/entries/", "tile/data/", 1)
	tile, err := tlog.ParseTilePath(strings.Replace(name, "tile/", "tile/8/", 1))
	if err != nil {
		return nil, nil, err
	}
	if tile.L < 0 {
		leaves, err := leavesOf(tree, tile, files{dir: r.Dir})
		return data, func(data []byte) error { return bundleOf(leaves, data) }, err
	}
	first := tile
	first.N, first.W = tile.N<<(8*tile.L), 1
	return data, func(data []byte) error {
		log := files{r.Dir, map[string][]byte{r.Path: data}}
		_, err := leavesOf(tree, first, log)
		return err
	}, nil
}

// leavesOf reads the leaf hashes under a tile of the lowest level, or of a bundle,
// through tiles that are authenticated against the tree.
func leavesOf(tree tlog.Tree, tile tlog.Tile, log files) ([]tlog.Hash, error) {
	var indexes []int64
	for n := range int64(tile.W) {
		indexes = append(indexes, tlog.StoredHashIndex(0, tile.N*256+n))
	}
	return tlog.TileHashReader(tree, log).ReadHashes(indexes)
}

func bundleOf(leaves []tlog.Hash, data []byte) error {
	entries, err := split(data, len(leaves))
	if err != nil {
		return err
	}
	for n, entry := range entries {
		if tlog.RecordHash(entry) != leaves[n] {
			return fmt.Errorf("entry %d is not the tile's", n)
		}
	}
	return nil
}
