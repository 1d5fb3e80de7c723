"""The network that sees where the floor ends: its answer's geometry, its files."""

import pytest
import torch

from embodied_cf.errors import DatasetError
from embodied_cf.policies.floor import COLUMNS, ROWS, FloorNet, best_split, load_floor, save_floor
from embodied_cf.train.floor import coarse, floor_loss


def test_the_split_is_where_answers_agree_best():
    logit = torch.tensor([[-2.0, -1.0, 0.5, -1.0, 3.0], [1.0] * 5, [-1.0] * 5]).T[None]  # (1, 5 rows, 3 columns)
    assert best_split(logit).tolist() == [[4.0, 0.0, 5.0]]


def test_a_coarse_line_keeps_the_nearer_end():
    line = torch.full((1, 96), 0.6)
    line[0, 5] = 0.9
    assert coarse(line).shape == (1, COLUMNS)
    assert coarse(line)[0, :4].tolist() == pytest.approx([0.6, 0.6, 0.9, 0.6])


def test_frames_of_any_size_give_lines_below_the_horizon():
    torch.manual_seed(0)
    lines = FloorNet().eval().lines(torch.randint(0, 255, (2, 64, 80, 3), dtype=torch.uint8))
    assert lines.shape == (2, COLUMNS)
    assert ((lines >= 0.5) & (lines <= 1.0)).all()


def test_a_perfect_answer_costs_nothing():
    class Perfect(FloorNet):
        def forward(self, image):
            rows = 0.5 + (torch.arange(ROWS) + 0.5) / (2 * ROWS)
            return torch.where(rows[:, None] > 0.7, 40.0, -40.0).expand(len(image), ROWS, COLUMNS)

    line = torch.full((3, 96), 0.7)
    assert float(floor_loss(Perfect(), torch.zeros(3, 3, 96, 96), line)) < 1e-6
    assert float(floor_loss(Perfect(), torch.zeros(3, 3, 96, 96), line + 0.1)) > 1.0


def test_it_learns_to_tell_dark_floor_from_light_walls():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, line = FloorNet(), torch.tensor([[0.6], [0.75], [0.9]]).expand(3, 96)
    height = (torch.arange(96) + 0.5) / 96
    image = torch.where(height[:, None] > line[:, :, None].transpose(1, 2), 0.2, 0.8)[:, None].expand(3, 3, 96, 96)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(6):
        loss = floor_loss(model.train(), image.contiguous(), line)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_weights_come_back_from_their_file(tmp_path):
    model = FloorNet()
    save_floor(model, tmp_path / "floor.safetensors")
    again = load_floor(tmp_path / "floor.safetensors")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name].float(), value.float(), atol=2e-3, rtol=1e-2)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "no.safetensors").write_bytes(b"12345678")
    with pytest.raises(DatasetError, match="no floor weights"):
        load_floor(tmp_path / "no.safetensors")


def test_the_shipped_weights_load():
    assert sum(value.numel() for value in load_floor().parameters()) < 500_000
